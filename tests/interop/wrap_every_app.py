"""A pytest plugin for Starlette's suite: every application that its test client gets is wrapped by the middleware."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Iterator
from typing import Any

import pytest
from starlette import testclient

from consent_middleware import ConsentMiddleware, PrivacyPolicy

POLICY = PrivacyPolicy.parse("""
revision = 1
updated = 2026-11-20
[controller]
name = "Starlette's tests"
[site]
insert = false
csp = "off"
[[cookie]]
name = "*"
purpose = "necessary"
description = "Whatever the tests set."
lifetime = "100 years"
""")

_open: list[ConsentMiddleware] = []
_folder = tempfile.TemporaryDirectory()


class Wrapped(ConsentMiddleware):
    """Stands for the application also where a test asks it for something."""

    def __getattr__(self, name: str) -> Any:
        return getattr(self.__dict__["app"], name)


_original = testclient.TestClient.__init__


def _init(self: Any, app: Any, *args: Any, **kwargs: Any) -> None:
    _original(self, app, *args, **kwargs)
    wrapped = Wrapped(self._transport.app, POLICY, _folder.name, ["a key for Starlette's tests"])
    self._transport.app = wrapped
    self.app = wrapped
    _open.append(wrapped)


testclient.TestClient.__init__ = _init  # type: ignore[method-assign]  # that is what this plugin is for


@pytest.fixture(autouse=True)
def close_what_was_opened() -> Iterator[None]:
    yield
    while _open:
        asyncio.run(_open.pop().close())
