"""Access logs of four formats become the same rows; an import resumes, never doubles, and keeps no address."""

from __future__ import annotations

import gzip
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import zstandard

from analytics.ingest import checkpoint, enrich
from analytics.ingest.accesslog import ImportSummary, import_log
from analytics.store import Store, open_store
from analytics.visits import visits_sql
from consent_middleware.visit import scrub_path
from tests.ingest.rows import CHROME

ALLOWED = frozenset(("utm_source", "ref"))
VIEWS = [
    ("81.2.69.142", "/", "https://www.google.com/", CHROME, 200),
    ("81.2.69.142", "/join?utm_source=news&email=mary@example.net", "https://example.org/", CHROME, 200),
    ("81.2.69.143", "/style.css", "", CHROME, 200),
    ("66.249.66.1", "/", "", "Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)", 404),
]


def combined(number: int, address: str, target: str, referrer: str, agent: str, status: int) -> str:
    time = f"13/Nov/2026:10:00:{number % 60:02d} +0000"
    return f'{address} - - [{time}] "GET {target} HTTP/1.1" {status} 512 "{referrer or "-"}" "{agent}"'


def common(number: int, *view: object) -> str:
    return combined(number, *view).rsplit(' "', 2)[0]  # type: ignore[arg-type]  # the fields of a view


def nginx(number: int, address: str, target: str, referrer: str, agent: str, status: int) -> str:
    return json.dumps(
        {
            "time_iso8601": f"2026-11-13T10:00:{number % 60:02d}+00:00",
            "remote_addr": address,
            "request": f"GET {target} HTTP/1.1",
            "status": str(status),
            "body_bytes_sent": "512",
            "http_referer": referrer,
            "http_user_agent": agent,
            "request_time": "0.004",
        }
    )


def caddy(number: int, address: str, target: str, referrer: str, agent: str, status: int) -> str:
    headers = {"User-Agent": [agent]} | ({"Referer": [referrer]} if referrer else {})
    request = {"remote_ip": address, "proto": "HTTP/1.1", "method": "GET", "host": "example.org", "uri": target}
    line = {"ts": 1794564000.0 + number % 60, "request": request | {"headers": headers}, "status": status, "size": 512}
    return json.dumps(line | {"duration": 0.004, "msg": "handled request"})


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with open_store(None, tmp_path / "var") as opened:
        yield opened


def write(path: Path, lines: list[str]) -> Path:
    path.write_text("".join(f"{line}\n" for line in lines))
    return path


def run(store: Store, path: Path, **options: object) -> ImportSummary:
    data_dir = path.parent / "var"
    given = {"site": "example.org", "basis": "imported", "allowed": ALLOWED} | options
    return import_log(store, data_dir, path, **given)  # type: ignore[arg-type]  # as given


def total(store: Store) -> int:
    return int(store.query("SELECT count() FROM events")[0][0])


@pytest.mark.parametrize("line", [combined, nginx, caddy])
def test_each_format_gives_the_same_rows(tmp_path: Path, store: Store, line: object) -> None:
    summary = run(store, write(tmp_path / "access.log", [line(i, *view) for i, view in enumerate(VIEWS)]))  # type: ignore[operator]  # a function
    assert (summary.lines, summary.rejected) == (4, {})
    rows = store.query(
        "SELECT kind, path, query, referrer_host, source, channel, status, bytes, protocol, browser, device, country, "
        "bot FROM events ORDER BY time"
    )
    assert rows == [
        ("view", "/", "", "google.com", "Google", "Organic Search", 200, 512, "1.1", "Chrome", "desktop", "GB", ""),
        ("view", "/join", "utm_source=news", "", "news", "Referral", 200, 512, "1.1", "Chrome", "desktop", "GB", ""),
        ("count", "/style.css", "", "", "", "", 200, 512, "1.1", "", "", "", ""),
        ("view", "/", "", "", "Direct / None", "Direct", 404, 512, "1.1", "Googlebot", "other", "US", "search"),
    ]
    times = store.query("SELECT toUnixTimestamp(time), basis FROM events ORDER BY time")
    assert times == [(1794564000 + second, "imported") for second in range(4)]
    assert store.query("SELECT uniqExact(visitor) FROM events WHERE kind = 'view'") == [(2,)]


def test_the_common_format_has_no_referrer_and_no_user_agent(tmp_path: Path, store: Store) -> None:
    assert run(store, write(tmp_path / "access.log", [common(i, *view) for i, view in enumerate(VIEWS)])).lines == 4
    assert store.query("SELECT DISTINCT browser, referrer_host FROM events") == [("", "")]


def test_no_address_of_the_log_is_on_the_disk_and_the_salt_is_destroyed(tmp_path: Path, store: Store) -> None:
    path = write(tmp_path / "access.log", [combined(i, *VIEWS[i % 2]) for i in range(500)])
    run(store, path)
    for file in (tmp_path / "var").rglob("*"):
        if file.is_file():
            content = file.read_bytes()
            assert b"81.2.69.142" not in content, file
            assert b"mary@example.net" not in content, file
    [state] = (tmp_path / "var" / "imports").glob("*.json")
    assert json.loads(state.read_text())["salt"] is None


def test_the_same_log_is_imported_once_whatever_its_name_and_compression(tmp_path: Path, store: Store) -> None:
    text = "".join(f"{combined(i, *VIEWS[0])}\n" for i in range(100))
    path = tmp_path / "access.log"
    path.write_text(text)
    assert run(store, path).lines == 100
    (tmp_path / "access.log.1.gz").write_bytes(gzip.compress(text.encode()))
    (tmp_path / "access.log.1.zst").write_bytes(zstandard.ZstdCompressor().compress(text.encode()))
    assert run(store, tmp_path / "access.log.1.gz").lines == 0
    assert run(store, tmp_path / "access.log.1.zst").lines == 0
    assert total(store) == 100


@pytest.mark.parametrize("suffix", ["gz", "zst"])
def test_compressed_logs_are_read(tmp_path: Path, store: Store, suffix: str) -> None:
    text = "".join(f"{combined(i, *VIEWS[0])}\n" for i in range(100)).encode()
    path = tmp_path / f"access.log.{suffix}"
    path.write_bytes(gzip.compress(text) if suffix == "gz" else zstandard.ZstdCompressor().compress(text))
    assert run(store, path).lines == 100


def test_a_log_that_unpacks_to_one_endless_line_is_refused(tmp_path: Path, store: Store) -> None:
    path = tmp_path / "bomb.log.gz"
    with gzip.open(path, "wb") as file:
        file.write(b'1.2.3.4 - - "')
        for _ in range(64):
            file.write(b"\0" * 1_000_000)
    summary = import_log(store, tmp_path, path, site="s", basis="imported", allowed=ALLOWED, piece_bytes=4_000_000)
    assert store.query("SELECT count() FROM events") == [(0,)]
    assert summary.lines == 0
    assert summary.rejected


def test_a_log_that_grew_gives_its_new_lines_only(tmp_path: Path, store: Store) -> None:
    path = write(tmp_path / "access.log", [combined(i, *VIEWS[0]) for i in range(50)])
    assert run(store, path).lines == 50
    with path.open("a") as file:
        file.writelines(f"{combined(i, *VIEWS[1])}\n" for i in range(7))
    summary = run(store, path)
    assert (summary.lines, total(store)) == (7, 57)
    assert summary.resumed_at > 0


def test_a_last_line_that_is_being_written_waits_for_its_end(tmp_path: Path, store: Store) -> None:
    path = tmp_path / "access.log"
    path.write_text(combined(0, *VIEWS[0]) + "\n" + combined(1, *VIEWS[0])[:50])
    assert run(store, path).lines == 1
    path.write_text(combined(0, *VIEWS[0]) + "\n" + combined(1, *VIEWS[0]))
    os.utime(path, (1_800_000_000, 1_700_000_000))  # an old log without a last newline is whole
    assert run(store, path).lines == 1
    assert run(store, path).lines == 0


def test_another_log_with_the_same_first_line_is_another_log(tmp_path: Path, store: Store) -> None:
    run(store, write(tmp_path / "a.log", [combined(0, *VIEWS[0]), combined(1, *VIEWS[0])]))
    run(store, write(tmp_path / "b.log", [combined(0, *VIEWS[0]), combined(2, *VIEWS[1])]))
    assert total(store) == 4


class Interrupted(Exception):
    """Stands for the end of the process."""


@pytest.mark.parametrize("writes", [2, 3, 4, 5, 6, 7])
def test_an_interrupted_import_goes_on_and_doubles_nothing(
    tmp_path: Path, store: Store, monkeypatch: pytest.MonkeyPatch, writes: int
) -> None:
    path = write(tmp_path / "access.log", [combined(i, *VIEWS[i % 4]) for i in range(1000)])
    real, left = checkpoint.write, [writes]

    def dying(*arguments: object) -> None:
        left[0] -= 1
        if left[0] == 0:  # the piece is in the store, and nobody wrote that down
            raise Interrupted
        real(*arguments)  # type: ignore[arg-type]  # as given

    with monkeypatch.context() as patch:
        patch.setattr(checkpoint, "write", dying)
        with pytest.raises(Interrupted):
            run(store, path, piece_bytes=30_000)
    with path.open("a") as file:  # and it grew in the meantime
        file.writelines(f"{combined(i, *VIEWS[0])}\n" for i in range(1000, 1100))
    run(store, path, piece_bytes=30_000)
    assert total(store) == 1100
    assert store.query("SELECT uniqExact(visitor) FROM events WHERE visitor != 0") == [(2,)]


def test_lines_that_are_none_are_counted_by_their_reason(tmp_path: Path, store: Store) -> None:
    good = combined(0, *VIEWS[0])
    lines = [
        good,
        "nonsense",
        good.replace("13/Nov/2026", "13/Foo/2026"),
        good.replace(" 200 ", " abc "),
        good.replace("GET / HTTP/1.1", "\\x16\\x03\\x01"),
        "",
    ]
    assert run(store, write(tmp_path / "access.log", lines)).rejected == {
        "not in the common or combined format": 1,
        "no readable time": 1,
        "no readable status": 1,
        "no readable request": 1,
        "the line is empty": 1,
    }
    assert total(store) == 1


@pytest.mark.parametrize(
    "path",
    ["/news/annual-report-2026-results", "/u/mary@example.net/x", "/reset/a3f81b2c9d4e5f60a3f81b2c", "/plain", "/"],
)
def test_the_engine_and_the_worker_scrub_a_path_alike(tmp_path: Path, store: Store, path: str) -> None:
    run(store, write(tmp_path / "access.log", [combined(0, "81.2.69.142", path, "", CHROME, 200)]))
    assert store.query("SELECT path FROM events") == [(scrub_path(path),)]


def test_imported_lines_become_visits(tmp_path: Path, store: Store) -> None:
    import datetime as dt

    run(store, write(tmp_path / "access.log", [combined(i, *VIEWS[i % 2]) for i in range(10)]))
    values = {"site": "example.org", "from": dt.datetime(2026, 11, 13), "to": dt.datetime(2026, 11, 14)}
    assert store.query(f"SELECT pageviews, duration_s, entry_path, source FROM {visits_sql()}", values) == [
        (10, 9, "/", "Google")
    ]


def test_the_command_works_without_a_policy_and_says_on_which_defaults(tmp_path: Path) -> None:
    path = write(tmp_path / "access.log", [combined(i, *VIEWS[0]) for i in range(3)] + ["nonsense"])
    command = [sys.executable, "-m", "analytics", "import", str(path), "--data-dir", str(tmp_path / "var")]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 1, done.stderr
    assert "No policy file: site localhost" in done.stderr
    assert "3 lines of combined imported" in done.stdout
    assert "1 rejected: not in the common or combined format" in done.stdout
    again = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert (again.returncode, "nothing new" in again.stdout) == (0, True)


def test_a_mistyped_site_takes_no_log_and_a_new_one_is_said_to_be_new(tmp_path: Path) -> None:
    path = write(tmp_path / "access.log", [combined(i, *VIEWS[0]) for i in range(3)])
    (tmp_path / "privacy.toml").write_text(
        "revision = 1\nupdated = 2026-11-20\n[controller]\nname = 'Example'\n"
        "[site]\nhosts = ['www.example.org', 'shop.example.org:8443']\n"
        "[[purpose]]\nid = 'necessary'\nrequired = true\n[[purpose]]\nid = 'analytics'\n"
    )

    def imported(*options: str) -> tuple[int, str]:
        command = [sys.executable, "-m", "analytics", "import", str(path), "--data-dir", str(tmp_path / "var")]
        done = subprocess.run([*command, *options], cwd=tmp_path, capture_output=True, text=True, check=False)
        return done.returncode, done.stdout + done.stderr

    told = 'error: no site "www.exmaple.org" (known: www.example.org, shop.example.org); say --new-site if it is'
    refused = imported("--site", "www.exmaple.org")
    assert (refused[0], told in refused[1]) == (2, True), refused
    with open_store(None, tmp_path / "var") as opened:
        assert opened.query("SELECT count() FROM events") == [(0,)]
    assert imported("--site", "shop.example.org")[0] == 0
    assert imported("--site", "new.example.org", "--new-site", "--again")[0] == 0
    assert imported("--site", "new.example.org")[0] == 0, "the store knows it now"


@pytest.mark.parametrize("kept", [100_000, 40])
def test_each_piece_explains_what_is_new_in_it(
    tmp_path: Path, store: Store, monkeypatch: pytest.MonkeyPatch, kept: int
) -> None:
    """User agents, links and networks that no earlier piece had, with and without room to remember all of them."""
    monkeypatch.setattr(enrich, "KEPT_VALUES", kept)
    countries = {"81.2.69.7": "GB", "66.249.66.7": "US"}
    lines = [
        combined(
            number,
            ("81.2.69.7", "66.249.66.7")[number // 150 % 2],
            ("/page", "/style.css")[number % 3 == 0],
            f"https://site{number}.example/",
            CHROME.replace("/130.", f"/{number if number % 7 else 130}.") if number % 5 else f"Googlebot/{number}",
            200,
        )
        for number in range(400)
    ]
    assert run(store, write(tmp_path / "access.log", lines), piece_bytes=9_000).lines == 400
    found = store.query(
        "SELECT kind, referrer_host, source, browser_version, bot, country, visitor != 0 FROM events "
        "ORDER BY referrer_host, kind, bot, time"
    )
    counts, views = found[: len(range(0, 400, 3))], found[len(range(0, 400, 3)) :]
    assert sorted({row[:4] + row[5:] for row in counts}) == [("count", "", "", "", "", 0)]
    assert [row[4] for row in counts].count("search") == len(range(0, 400, 15))
    expected = []
    for number in (number for number in range(400) if number % 3):
        host, bot = f"site{number}.example", number % 5 == 0
        address = ("81.2.69.7", "66.249.66.7")[number // 150 % 2]
        version = "" if bot else f"{number if number % 7 else 130}.0"  # one is met again and again
        expected.append(("view", host, host, version, "search" if bot else "", countries[address], 1))
    assert sorted(row for row in views if not row[4]) == sorted(row for row in expected if not row[4])
    bots = [(*row[:3], *row[4:]) for row in views if row[4]]
    assert sorted(bots) == sorted((*row[:3], *row[4:]) for row in expected if row[4])


def test_the_language_of_a_page_is_kept_and_of_nothing_else(tmp_path: Path, store: Store) -> None:
    lines = [
        json.dumps({**json.loads(nginx(i, *view)), "http_accept_language": "en-GB,en;q=0.9"})
        for i, view in enumerate(VIEWS)
    ]
    run(store, write(tmp_path / "access.log", lines))
    assert set(store.query("SELECT kind, language FROM events")) == {("view", "en-GB"), ("count", "")}


def test_an_erasure_in_a_service_does_not_wait_for_the_end_of_an_import(tmp_path: Path, store: Store) -> None:
    path = write(tmp_path / "access.log", [combined(i, *VIEWS[0]) for i in range(300)])
    store.command("INSERT INTO events (site, visitor, time) VALUES ('a', 5, now())")
    with open_store(None, tmp_path / "var", migrate=False) as reports:

        def erase(done: int) -> None:  # called while pieces are on their way
            reports.command("ALTER TABLE events DELETE WHERE visitor = 5", mutations_sync=2, max_execution_time=20)

        assert run(store, path, piece_bytes=9_000, on_progress=erase).lines == 300
    assert store.query("SELECT count() FROM events WHERE visitor = 5") == [(0,)]


def test_an_import_lets_the_engine_merge_again(tmp_path: Path, store: Store) -> None:
    run(store, write(tmp_path / "access.log", [combined(i, *VIEWS[0]) for i in range(300)]), piece_bytes=9_000)
    store.command("OPTIMIZE TABLE events FINAL")
    assert store.query("SELECT count() FROM system.parts WHERE active AND table = 'events'") == [(1,)]
