"""Spool or access log -> enriched rows. The raw user agent ends here."""
