"""`make demo`: the whole chain on one machine, from a cookie that was held back to a sealed, anonymous release.

`__main__.py` is the story in order; the other files are its parts: processes, visitors, what is counted, what is shown.
"""
