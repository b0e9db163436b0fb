"""Consent records: append-only, hash-chained, durable before a consent cookie is issued."""
