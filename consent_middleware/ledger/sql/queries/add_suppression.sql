INSERT INTO suppressions (address, purpose, objected, at) VALUES (:address, :purpose, :objected, :at)
