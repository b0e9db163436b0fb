-- Each column of a part has buffers of a block while the part is written, of a megabyte unless they are told otherwise:
-- 280 MB for lines of pages, where 100 are enough.
ALTER TABLE visit_pages ${on_cluster} MODIFY SETTING max_compress_block_size = 65536;

ALTER TABLE visits ${on_cluster} MODIFY SETTING max_compress_block_size = 65536;

ALTER TABLE cells ${on_cluster} MODIFY SETTING max_compress_block_size = 65536;
