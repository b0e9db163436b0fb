"""msgspec's validation errors in the words of privacy.toml: key, reason, and the nearest key or value."""

from __future__ import annotations

import difflib
import re
from types import UnionType
from typing import Annotated, Any, Union, get_args, get_origin, get_type_hints

import msgspec

_PATH = re.compile(r" - at `(?:key in )?\$\.?(.*?)`$")
_UNKNOWN = re.compile(r"^Object contains unknown field `(.*)`$", re.DOTALL)
_MISSING = re.compile(r"^Object missing required field `(.*)`$", re.DOTALL)
# Keys that want buttons of unequal weight, or a banner that is tried in versions: dark patterns (EDPB 03/2022).
_UNEQUAL = re.compile(r"(^|_)(ab|abtests?|variants?|experiments?|split|accept|reject|decline|refuse|buttons?)(_|$)")
EQUAL = "the buttons of the banner are equal, for everybody: no version of it can be tested against another"
_ENUM = re.compile(r"^Invalid enum value '?(.*?)'?$")


def explain(error: msgspec.ValidationError, raw: dict[str, Any], root: type[msgspec.Struct]) -> str:
    """msgspec's sentence in the file's own words, with the nearest key or value where one is near."""
    message = str(error)
    found = _PATH.search(message)
    where = found.group(1) if found else ""
    reason = message[: found.start()] if found else message
    where = re.sub(r"^\[?\.\.\.\]?", "", where)
    if unknown := _UNKNOWN.match(reason):
        key = unknown.group(1)
        nearest = _nearest(key, _keys_at(root, where))
        why = f"; {EQUAL}" if not nearest and _UNEQUAL.search(key.lower().replace("-", "_")) else nearest
        return f"{_join(where, key)}: unknown key{why}"
    if missing := _MISSING.match(reason):
        return f"{_join(where, missing.group(1))}: missing; this key is required"
    value = _value_at(raw, where)
    if enum := _ENUM.match(reason):
        allowed = _choices_at(root, where)
        listed = f" (one of {', '.join(allowed)})" if allowed else ""
        return f'{where}: "{enum.group(1)}" is not known{_nearest(enum.group(1), allowed) or listed}'
    shown = f" (found {value!r})" if isinstance(value, str | int | float | bool) else ""
    return f"{where}: {reason[:1].lower()}{reason[1:]}{shown}"


def _join(where: str, key: str) -> str:
    return f"{where}.{key}" if where else key


def _nearest(word: str, known: list[str]) -> str:
    near = difflib.get_close_matches(word, known, n=1)
    return f' (did you mean "{near[0]}"?)' if near else ""


def _steps(where: str) -> list[str]:
    return [step for step in re.split(r"[.\[\]]+", where) if step]


def _is_struct(here: Any) -> bool:
    return isinstance(here, type) and issubclass(here, msgspec.Struct)


def _item_type(here: Any) -> Any:
    """What a list, a mapping or an optional of `here` holds; the struct among several alternatives."""
    inner = [argument for argument in get_args(here) if argument not in (type(None), Ellipsis)]
    inner = [argument for argument in inner if isinstance(argument, type) or get_args(argument)]
    structs = [argument for argument in inner if _is_struct(argument)]
    return structs[0] if structs else (inner[-1] if inner else None)


def _type_at(root: type[msgspec.Struct], where: str) -> Any:
    here: Any = root
    for step in _steps(where):
        while here is not None and not _is_struct(here) and get_origin(here) in (Annotated, Union, UnionType):
            here = _item_type(here)
        here = get_type_hints(here, include_extras=True).get(step) if _is_struct(here) else _item_type(here)
    return here


def _keys_at(root: type[msgspec.Struct], where: str) -> list[str]:
    here = _type_at(root, where)
    while here is not None and not _is_struct(here):
        here = _item_type(here)
    return list(here.__struct_fields__) if here is not None else []


def _choices_at(root: type[msgspec.Struct], where: str) -> list[str]:
    def literals(here: Any) -> list[str]:
        values: list[str] = []
        for argument in get_args(here):
            values += [argument] if isinstance(argument, str) and argument else literals(argument)
        return values

    return list(dict.fromkeys(literals(_type_at(root, where))))


def _value_at(raw: Any, where: str) -> Any:
    for step in _steps(where):
        try:
            raw = raw[int(step)] if isinstance(raw, list) else raw[step]
        except (KeyError, IndexError, ValueError, TypeError):
            return None
    return raw
