SELECT hash, revision, text FROM notices WHERE language = :language ORDER BY revision, hash
