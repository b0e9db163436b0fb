"""An imported log and GoAccess count the same, and where they don't, every line of the difference has its reason."""

from __future__ import annotations

import random
import shutil
import warnings
from pathlib import Path

import pytest

from bench.agreement import compare

CHANCE = random.Random(11)
AGENTS = (
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/130.0.0.0 Safari/537.36",
    "Mozilla/5.0 (iPhone; CPU iPhone OS 17_4 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/17.4 "
    "Mobile/15E148 Safari/604.1",
    "Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)",
    "curl/8.0",
    "-",
)
TARGETS = ("/", "/join?utm_source=news", "/style.css", "/PHOTO.JPG", "/news/2026/a", "/report.pdf", "/%C3%A9", "/a b")
ODD = (
    "",
    "nonsense",
    '1.2.3.4 - - [14/Nov/2026:10:00:00 +0000] "\\x16\\x03\\x01" 400 0 "-" "-"',
    '1.2.3.4 - - [14/Nov/2026:10:00:00 +0000] "GET" 400 0 "-" "-"',
    'host.example - - [14/Nov/2026:10:00:00 +0000] "GET / HTTP/1.1" 200 77 "-" "curl/8.0"',
    '1.2.3.4 - - [14/Foo/2026:10:00:00 +0000] "GET / HTTP/1.1" 200 77 "-" "curl/8.0"',
    '1.2.3.4 - - [14/Nov/2026:10:00:00 +0000] "GET / HTTP/1.1" abc 77 "-" "curl/8.0"',
    '1.2.3.4 - - [14/Nov/2026:10:00:00 +0000] "GET /old HTTP/1.0" 200 5',
)


def line(number: int) -> str:
    if number % 40 == 0:
        return ODD[number // 40 % len(ODD)]
    address = CHANCE.choice((f"81.2.69.{CHANCE.randrange(30)}", f"2001:67c:2e8::{CHANCE.randrange(5)}"))
    time = f"{13 + number // 1500}/Nov/2026:{CHANCE.randrange(24):02d}:{CHANCE.randrange(60):02d}:00 +0100"
    request = f"{CHANCE.choice(('GET', 'GET', 'GET', 'POST', 'HEAD'))} {CHANCE.choice(TARGETS)} HTTP/1.1"
    status, size = CHANCE.choice((200, 200, 206, 301, 304, 404, 500)), CHANCE.choice((0, 512, 40_000, "-"))
    referrer = CHANCE.choice(("-", "https://www.google.com/", "https://example.net/a?b=c"))
    return f'{address} - - [{time}] "{request}" {status} {size} "{referrer}" "{CHANCE.choice(AGENTS)}"'


def test_every_difference_from_goaccess_is_explained_line_by_line(tmp_path: Path) -> None:
    if not shutil.which("goaccess"):
        why = "goaccess is not installed: agreement with it was NOT tested"
        warnings.warn(why, stacklevel=1)
        pytest.skip(why)
    log = tmp_path / "access.log"
    log.write_text("".join(f"{line(number)}\n" for number in range(4000)))
    found = compare(log, tmp_path)
    assert [one for one in found if not one.explained] == []
    by_name = {one.what: one for one in found}
    assert by_name["lines"].ours > 3800
    assert by_name["status 404"].goaccess > 300
    assert by_name["visitors, each day anew"].ours > 100
