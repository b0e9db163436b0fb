INSERT INTO entries (position, record, revokes, body, hash)
VALUES (:position, :record, :revokes, :body, :hash)
