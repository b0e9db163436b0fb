"""The request path: a pure ASGI middleware that enforces the site's privacy policy.

What lives here runs inside the site's own workers. It imports nothing of `analytics` and no database driver:
what it captures goes into the spool, and what visitors decide goes into the ledger.

    from consent_middleware import ConsentMiddleware
    app = ConsentMiddleware(app, policy="privacy.toml", data_dir="var", secret_keys=["..."])
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from consent_middleware.decision import Decision
    from consent_middleware.forms import record_consent
    from consent_middleware.middleware import ConsentMiddleware
    from consent_middleware.policy import PolicyError, PrivacyPolicy

__version__ = "0.1.0"
__all__ = ["ConsentMiddleware", "Decision", "PolicyError", "PrivacyPolicy", "__version__", "record_consent"]

_HOMES = {
    "ConsentMiddleware": "consent_middleware.middleware",
    "Decision": "consent_middleware.decision",
    "PolicyError": "consent_middleware.policy",
    "PrivacyPolicy": "consent_middleware.policy",
    "record_consent": "consent_middleware.forms",
}


def __getattr__(name: str) -> object:
    # Imported on first use, so that `analytics` and small commands do not pay for the request path.
    if name in _HOMES:
        value = getattr(importlib.import_module(_HOMES[name]), name)
        globals()[name] = value
        return value
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
