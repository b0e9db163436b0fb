"""Behind the request path: loads the spool, keeps the raw store, seals anonymous releases, reports and shares.

Imports of `consent_middleware` are limited to the policy, the visit record, the spool, the ledger, countries and the
rights desk; the import contracts in pyproject.toml check it.
"""

__version__ = "0.1.0"
