"""Writes a country database as operators download them (MaxMind DB 2.0, IPv4), small enough to read in one look."""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping
from pathlib import Path
from typing import Any

_EXTENDED = 7
_UTF8, _UINT16, _UINT32, _MAP, _UINT64, _ARRAY = 2, 5, 6, 7, 9, 11


def write(path: Path, networks: Mapping[str, object]) -> None:
    """`networks` are IPv4 networks, each with what the database says of it."""
    nodes: list[list[Any]] = [[None, None]]
    data = b""
    for network, told in networks.items():
        parsed = ipaddress.IPv4Network(network)
        bits = f"{int(parsed.network_address):032b}"[: parsed.prefixlen]
        here = 0
        for bit in bits[:-1]:
            if nodes[here][int(bit)] is None:
                nodes.append([None, None])
                nodes[here][int(bit)] = len(nodes) - 1
            here = nodes[here][int(bit)]
        nodes[here][int(bits[-1])] = ("data", len(data))
        data += _encoded(told)
    count = len(nodes)
    tree = b"".join(_record(record, count) for node in nodes for record in node)
    about = {
        "node_count": _number(_UINT32, count),
        "record_size": _number(_UINT16, 24),
        "ip_version": _number(_UINT16, 4),
        "database_type": "Test-Country",
        "languages": ["en"],
        "binary_format_major_version": _number(_UINT16, 2),
        "binary_format_minor_version": _number(_UINT16, 0),
        "build_epoch": _number(_UINT64, 1),
        "description": {"en": "a test"},
    }
    path.write_bytes(tree + bytes(16) + data + b"\xab\xcd\xefMaxMind.com" + _encoded(about))


def _record(record: object, count: int) -> bytes:
    if record is None:
        return count.to_bytes(3, "big")
    value = record if isinstance(record, int) else count + 16 + record[1]  # type: ignore[index]  # a data offset
    return int(value).to_bytes(3, "big")


def _control(kind: int, size: int) -> bytes:
    return bytes((size, kind - _EXTENDED)) if kind > _EXTENDED else bytes((kind << 5 | size,))


def _number(kind: int, value: int) -> bytes:
    digits = value.to_bytes((value.bit_length() + 7) // 8, "big")
    return _control(kind, len(digits)) + digits


def _encoded(value: object) -> bytes:
    if isinstance(value, bytes):  # a number that was encoded already
        return value
    if isinstance(value, str):
        return _control(_UTF8, len(value.encode())) + value.encode()
    if isinstance(value, list):
        return _control(_ARRAY, len(value)) + b"".join(map(_encoded, value))
    assert isinstance(value, dict)
    return _control(_MAP, len(value)) + b"".join(_encoded(part) for pair in value.items() for part in pair)
