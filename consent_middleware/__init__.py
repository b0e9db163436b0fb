"""The request path: a pure ASGI middleware that enforces the site's privacy policy.

What lives here runs inside the site's own workers. It imports nothing of `analytics` and no database driver:
what it captures goes into the spool, and what visitors decide goes into the ledger.
"""

__version__ = "0.1.0"
