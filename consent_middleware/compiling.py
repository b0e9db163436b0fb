"""What the compiler of the optional compiled wheel is told; the interpreter takes no notice."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mypy_extensions import mypyc_attr as mypyc_attr
else:

    def mypyc_attr(**attributes: object) -> object:
        return lambda decorated: decorated
