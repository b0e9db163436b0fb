SELECT text FROM notices WHERE hash = :hash
