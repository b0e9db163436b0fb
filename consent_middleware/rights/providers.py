"""The site's own tables: `@provider("members")` on a class lets requests reach them.

    @rights.provider("members")
    class Members:
        def find(self, subject: str) -> list[dict[str, object]]: ...
        def erase(self, subject: str) -> int: ...

`find` is required; `erase`, `correct(subject, field, value)`, `restrict(subject, on)` and `stop_marketing(subject)` are
offered where the site has them, and give the number of rows they reached. A provider without one answers by its name
that it can't, so that nothing is silently left out.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping
from typing import Any, Final, TypeVar

C = TypeVar("C", bound=type)
ABILITIES: Final = ("find", "erase", "correct", "restrict", "stop_marketing")
_PROVIDERS: dict[str, Any] = {}


class ProviderError(RuntimeError):
    """A hook of the site is missing or failed; the message names it."""


def provider(name: str) -> Callable[[C], C]:
    """Register an instance of the decorated class under a name; a later one of the same name takes its place."""

    def register(kind: C) -> C:
        if not callable(getattr(kind, "find", None)):
            raise ProviderError(f'provider "{name}": a class with a method find(subject) is needed')
        _PROVIDERS[name] = kind()
        return kind

    return register


def providers() -> Mapping[str, Any]:
    """All that are registered, by name."""
    return dict(_PROVIDERS)


def load_hooks(module: str) -> None:
    """Import the site's module that registers its providers. Raises ProviderError."""
    try:
        importlib.import_module(module)
    except Exception as error:
        raise ProviderError(f"{module}: the site's hooks can't be imported: {error}") from error


def call(name: str, ability: str, *arguments: object) -> Any:
    """Ask one provider. None when it does not offer that; ProviderError when it fails."""
    hook = getattr(_PROVIDERS[name], ability, None)
    if hook is None:
        return None
    try:
        return hook(*arguments)
    except Exception as error:
        raise ProviderError(f'provider "{name}", {ability}: {error}') from error
