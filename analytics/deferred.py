"""Modules that a package imports in passing, and that are slow to import: until something of them is wanted."""

from __future__ import annotations

import contextlib
import importlib
import sys
from collections.abc import Iterator
from types import ModuleType
from typing import Any


class _StandIn(ModuleType):
    """Stands for a module, and asks the real one for whatever is wanted of it."""

    def __getattr__(self, name: str) -> Any:
        if sys.modules.get(self.__name__) is self:  # asked while it still stands there
            del sys.modules[self.__name__]
        return getattr(importlib.import_module(self.__name__), name)


@contextlib.contextmanager
def deferred(name: str) -> Iterator[None]:
    """Who imports the module within this gets a stand-in for it; nothing changes where it is imported already."""
    if name in sys.modules:
        yield
        return
    stand_in = sys.modules[name] = _StandIn(name)
    try:
        yield
    finally:
        if sys.modules.get(name) is stand_in:
            del sys.modules[name]
