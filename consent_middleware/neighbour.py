"""The entry of the `analytics` program: it looks whether the package of that name is ours before it imports it.

Segment's `analytics-python` installs a package of the same name, and a site may have an `analytics.py` of its own. The
import goes by name, because the request path knows nothing of analytics and only this program stands before both.
"""

from __future__ import annotations

import importlib
import importlib.util
import sys
from pathlib import Path

from consent_middleware.lazy import leave_by

OURS = Path(__file__).resolve().parent.parent / "analytics" / "__init__.py"
MARK = b"consent_middleware"  # stands in the docstring of our own package


def what_is_in_the_way() -> str | None:
    """Another module that would be imported as `analytics`, described in one line; None when it is ours."""
    spec = importlib.util.find_spec("analytics")
    found = Path(spec.origin).resolve() if spec is not None and spec.origin else None
    if found is not None and MARK in found.read_bytes():
        return None
    if found is None:
        return "the package `analytics` is not installed; install consent-middleware again"
    if found == OURS:
        return (
            f"{found} was overwritten by another package called `analytics` (Segment's analytics-python is one): "
            "uninstall that one and install consent-middleware again"
        )
    return (
        f"{found} is in the way: another module called `analytics` (Segment's analytics-python is one) comes first on "
        "the module path; uninstall or move it, or use a virtual environment of its own"
    )


def main() -> None:
    """Run the `analytics` command line, or say in one line why it can't be imported (exit code 2)."""
    if problem := what_is_in_the_way():
        print(f"error: {problem}", file=sys.stderr)
        sys.exit(2)
    leave_by(importlib.import_module("analytics.cli").main)
