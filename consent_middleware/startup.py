"""How a server that can't start says so: one line and exit code 2, instead of fifty lines of its own call stack."""

from __future__ import annotations

import sys
from types import TracebackType


def say_in_one_line(*kinds: type[Exception]) -> None:
    """Let an exception of these kinds that nobody catches end the program with one line on standard error.

    Python asks `sys.excepthook` only when the program is about to end; a hook that the site has set keeps all others.
    """
    before = sys.excepthook
    if getattr(before, "of_consent_middleware", False):
        return

    def hook(kind: type[BaseException], problem: BaseException, trace: TracebackType | None) -> None:
        if not isinstance(problem, kinds):
            before(kind, problem, trace)
            return
        print(f"error: {problem}", file=sys.stderr)
        raise SystemExit(2)

    hook.of_consent_middleware = True  # type: ignore[attr-defined]  # a mark on a function, read above
    sys.excepthook = hook
