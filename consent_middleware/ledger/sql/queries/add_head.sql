INSERT INTO heads (number, at, head) VALUES (:number, :at, :head)
