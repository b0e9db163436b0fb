"""Named recipients receive sealed releases and nothing else; every disclosure is logged.

`recipients` says who may have what, or why not; `formats` turns released cells into files; `delivery` and `outbox`
bring them there exactly once. Nothing here may import the store: the import contracts check it, and `analytics share`
runs as a user who can't read the raw folder.
"""
