SELECT hash, language, revision, text FROM notices ORDER BY revision, language, hash
