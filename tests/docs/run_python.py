"""Executes the Python blocks of the documents, one after the other, in a folder with a policy and a small site."""

from __future__ import annotations

import asyncio
import sys
import traceback
import types
from pathlib import Path
from typing import Any

from django.conf import settings
from starlette.applications import Starlette
from starlette.requests import Request

from tests.docs.blocks import blocks

# These need a service on a port, or a site's request: tests/docs/test_services.py runs them; compiled here.
COMPILED_ONLY = ("Client(", "await record_consent")


def namespace(policy: Any) -> dict[str, Any]:
    """What a block may take for granted: a request that was gated, the site's application, the policy."""
    from consent_middleware.decision import resolve

    class Visit:
        def event(self, name: str, /, **props: object) -> None: ...

    decision = resolve(policy, None)
    scope = {"type": "http", "headers": [], "consent": decision, "visit": Visit()}
    return {"__name__": "block", "scope": scope, "request": Request(scope), "app": Starlette(), "policy": policy}


def main() -> int:
    from consent_middleware import PrivacyPolicy

    settings.configure(SECRET_KEY="of a test", ROOT_URLCONF="mysite", ALLOWED_HOSTS=["localhost"])
    site = types.ModuleType("mysite")
    site.app = Starlette()  # type: ignore[attr-defined]  # made here
    sys.modules["mysite"] = site
    policy = PrivacyPolicy.load(Path("privacy.toml"))
    failed = 0
    for block in blocks():
        if block.language != "python":
            continue
        try:
            text = block.text.replace('"..."', repr("a secret of this test, long enough for one"))
            code = compile(text, block.where, "exec", flags=0x2000)  # top-level await is allowed
            if any(mark in block.text for mark in COMPILED_ONLY):
                continue
            module = types.ModuleType("block")  # frameworks look for the module of what they are given
            sys.modules["block"] = module
            vars(module).update(namespace(policy))
            waiting = eval(code, vars(module))
            if waiting is not None:
                asyncio.run(waiting)
        except Exception:
            failed += 1
            print(f"{block.where}\n{traceback.format_exc(limit=-2)}")
    return failed


if __name__ == "__main__":
    sys.exit(main())
