"""The site's own tables: `@provider("members")` on a class lets requests reach them.

    @rights.provider("members")
    class Members:
        def find(self, subject: str) -> list[dict[str, object]]: ...
        def erase(self, subject: str) -> int: ...

`find` is required. Offered where the site has them, each giving the number of rows it reached: `erase(subject)`,
`correct(subject, field, value)`, `restrict(subject, on)`, `object(subject)`, `stop_marketing(subject)`. A provider
without one answers by its name that it can't, so that nothing is silently left out. `subjects(subject)` says how the
consent ledger knows the same person ("member:42"). For retention: `expire(before)` removes what is older than a day,
`oldest()` is the day of the oldest row, or None. For notices: `addresses()`, whom to write to. For a data breach:
`affected(first, last)`, whose rows were there between two times.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeVar

if TYPE_CHECKING:
    from consent_middleware.policy import PrivacyPolicy

C = TypeVar("C", bound=type)
ABILITIES: Final = (
    *("find", "erase", "correct", "restrict", "object", "stop_marketing"),
    *("subjects", "expire", "oldest", "addresses", "affected"),
)
NO_HOOKS: Final = "none"
HOW_TO_NAME_HOOKS: Final = (
    "name the module with the site's @rights.provider classes: --hooks MODULE, $CONSENT_HOOKS, or hooks in [site] of "
    'the policy file ("none" where the site keeps nothing about people)'
)
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


def asked_of_the_site(policy: PrivacyPolicy, named: str | None = None) -> bool:
    """Load the hooks that are named here or in the policy file; False when nobody named any. Raises ProviderError."""
    module = named or policy.site.hooks
    if module and module != NO_HOOKS:
        load_hooks(module)
    return bool(module)


def load_hooks(module: str) -> None:
    """Import the site's module that registers its providers. Raises ProviderError."""
    here = str(Path.cwd())
    if here not in sys.path:  # the site's own modules lie where its commands are run; they shadow nothing
        sys.path.append(here)
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
