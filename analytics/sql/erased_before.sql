-- Visitors whose salted hash is on the list of erasures. Parameters: salt String, hashes Array(String).
SELECT DISTINCT visitor
FROM events
WHERE visitor != 0
    AND has({hashes:Array(String)}, lower(hex(SHA256(concat({salt:String}, ' ', toString(visitor))))))
