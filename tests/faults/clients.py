"""Raw clients over sockets: quick ones that say what happened, slow ones that hold a connection open. No test."""

from __future__ import annotations

import asyncio
import json
import re
from pathlib import Path

HEADERS = (
    "Host: example.org\r\nOrigin: http://example.org\r\nSec-Fetch-Site: same-origin\r\nAccept: text/html\r\n"
    "User-Agent: Mozilla/5.0 (X11; Linux x86_64; rv:130.0) Gecko/20100101 Firefox/130.0\r\n"
)


def request(method: str, path: str, body: bytes = b"", kind: str = "application/json", cookie: str = "") -> bytes:
    head = f"{method} {path} HTTP/1.1\r\n{HEADERS}Connection: close\r\n"
    head += f"Cookie: {cookie}\r\n" if cookie else ""
    head += f"Content-Type: {kind}\r\nContent-Length: {len(body)}\r\n" if body else ""
    return head.encode() + b"\r\n" + body


async def ask(port: int, sent: bytes) -> tuple[int, bytes]:
    """Status and whole answer; 0 when the connection failed before an answer."""
    try:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        try:
            writer.write(sent)
            await writer.drain()
            answer = await reader.read()
        finally:
            writer.close()
    except OSError:
        return 0, b""
    found = re.match(rb"HTTP/1\.1 (\d{3})", answer)
    return (int(found[1]) if found else 0), answer


async def consenting(port: int) -> str:
    """The cookies of somebody who accepted."""
    status, answer = await ask(
        port, request("POST", "/_consent/", b"choice=accept", "application/x-www-form-urlencoded")
    )
    assert status == 303, answer
    return "; ".join(cookie.decode() for cookie in re.findall(rb"(?im)^set-cookie: ([^;]+);", answer))


def event(name: str, cookie: str) -> bytes:
    body = json.dumps({"n": name, "u": "https://example.org/page", "d": "example.org"}).encode()
    return request("POST", "/_consent/event", body, cookie=cookie)


def resident_kb(*pids: int) -> int:
    """Memory of these processes that no other shares, in kB."""
    total = 0
    for pid in pids:
        text = Path(f"/proc/{pid}/smaps_rollup").read_text()
        total += sum(int(kb) for kb in re.findall(r"^Private_(?:Clean|Dirty):\s+(\d+) kB", text, re.MULTILINE))
    return total


def children(pid: int) -> list[int]:
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
