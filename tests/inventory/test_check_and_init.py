"""`consent check` and `consent init`: the file alone, against the inventory, and against a visit with Chromium."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import HTMLResponse, PlainTextResponse, Response
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from consent_middleware import ConsentMiddleware
from consent_middleware.cli import check
from consent_middleware.draft import draft, starter
from consent_middleware.inventory import Inventory
from consent_middleware.known_parties import known_party
from consent_middleware.policy import PrivacyPolicy
from consent_middleware.sighting import SeenCookie, Sighting, surprises
from examples.demo.visitors import find_chromium
from tests.html.pages_for_tests import POLICY, POLICY_TEXT
from tests.html.serving import served

COOKIES = """
[[cookie]]
name = "session"
purpose = "necessary"
[[cookie]]
name = "_stat*"
purpose = "analytics"
lifetime = "13 months"
[[cookie]]
name = "theme"
kind = "local"
purpose = "necessary"
"""
REQUIRED = frozenset({"necessary"})
EVERYTHING = frozenset({"necessary", "analytics", "marketing"})
DAY = 86_400.0


def consent(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "consent_middleware", *arguments]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=120, check=False)


class TestTheFile:
    def test_a_starter_file_loads_cleanly_and_is_not_overwritten(self, tmp_path: Path) -> None:
        made = consent(tmp_path, "init")
        assert made.returncode == 0
        assert "1 purposes" not in made.stdout + made.stderr
        checked = consent(tmp_path, "check")
        assert checked.returncode == 0
        assert "the file is in order" in checked.stdout
        again = consent(tmp_path, "init")
        assert (again.returncode, "--force" in again.stderr) == (2, True)
        assert PrivacyPolicy.parse(starter()).vendors == ()

    def test_a_wrong_file_and_a_missing_one_are_one_line_and_exit_2(self, tmp_path: Path) -> None:
        (tmp_path / "privacy.toml").write_text(POLICY_TEXT.replace('purpose = "analytics"', 'purpose = "analytcs"'))
        wrong = consent(tmp_path, "check")
        assert wrong.returncode == 2
        assert wrong.stderr.count("\n") == 1
        assert 'did you mean "analytics"?' in wrong.stderr
        missing = consent(tmp_path, "check", "--policy", "nope.toml")
        assert (missing.returncode, missing.stderr.count("\n")) == (2, 1)

    def test_warnings_fail_only_a_strict_check(self, tmp_path: Path) -> None:
        (tmp_path / "privacy.toml").write_text(POLICY_TEXT)
        assert consent(tmp_path, "check").returncode == 0
        strict = consent(tmp_path, "check", "--strict", "--format", "json")
        assert strict.returncode == 1
        assert json.loads(strict.stdout)["warnings"]


class TestTheLiveSite:
    def test_what_is_not_declared_fails_and_what_has_been_declared_since_does_not(self, tmp_path: Path) -> None:
        worker = Inventory(tmp_path / "var")
        worker.undeclared_cookie("_stat_1", "example.com")
        worker.blocked_host("www.google-analytics.com", "script-src")
        worker.note("compressed page", "example.com")
        worker.close()
        (tmp_path / "privacy.toml").write_text(POLICY_TEXT)
        found = consent(tmp_path, "check", "--live")
        assert found.returncode == 1
        assert "undeclared cookie: _stat_1" in found.stdout
        assert "Google Analytics" in found.stdout
        assert "[example.com], 1 time, last" in found.stdout
        assert "[[cookie]] or [[vendor]]" in found.stdout.splitlines()[-1]
        (tmp_path / "privacy.toml").write_text(
            POLICY_TEXT.replace('"counter.example"', '"counter.example", "google-analytics.com"') + COOKIES
        )
        declared = consent(tmp_path, "check", "--live", "--format", "json")
        assert declared.returncode == 0
        assert [entry["name"] for entry in json.loads(declared.stdout)["live"]] == ["compressed page"]

    @pytest.mark.parametrize(
        ("note", "way_out"),
        [
            ("compressed page", "compress outside"),
            ("cookie lifetime-cut", "raise it there"),
            ("cookie own-cookie", "rename it"),
            ("cookie samesite-none-without-secure", "mend its attributes"),
        ],
    )
    def test_each_note_names_its_way_out(self, tmp_path: Path, note: str, way_out: str) -> None:
        worker = Inventory(tmp_path / "var")
        worker.note(note, "basket")
        worker.close()
        (tmp_path / "privacy.toml").write_text(POLICY_TEXT)
        found = consent(tmp_path, "check", "--live")
        assert found.returncode == 0
        (line,) = [line for line in found.stdout.splitlines() if line.startswith("note: ")]
        assert way_out in line.partition(f"{note} [basket], 1 time, last on ")[2]

    def test_who_looks_too_soon_is_told_how_long_workers_take(self, tmp_path: Path) -> None:
        (tmp_path / "privacy.toml").write_text(POLICY_TEXT)
        (tmp_path / "var").mkdir()
        said = consent(tmp_path, "check", "--live").stdout
        assert said.endswith("nothing found\nworkers write down what they see every 5 seconds\n")

    def test_a_data_folder_that_does_not_exist_is_an_error_and_no_clean_site(self, tmp_path: Path) -> None:
        (tmp_path / "privacy.toml").write_text(POLICY_TEXT)
        asked = consent(tmp_path, "check", "--live", "--data-dir", "nodir")
        assert (asked.returncode, asked.stdout) == (2, "")
        assert "nodir: no such data folder" in asked.stderr
        assert consent(tmp_path, "check", "--data-dir", "nodir").returncode == 0

    @pytest.mark.parametrize(
        ("noted", "end"), [(0, "by `consent check --live`\n"), (1, ": 1 undeclared name noted on the running site\n")]
    )
    def test_a_visit_says_where_what_the_gate_stopped_is_listed(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, noted: int, end: str
    ) -> None:
        (tmp_path / "privacy.toml").write_text(POLICY_TEXT)
        worker = Inventory(tmp_path / "var")
        if noted:
            worker.undeclared_cookie("sneaky", "example.com")
        worker.note("compressed page", "example.com")
        worker.close()
        clean = Sighting("example.com", (), (), (), ("http://example.com/",))
        monkeypatch.setattr(check, "_visit", lambda *_: (clean, clean, ""))
        options = ["--policy", str(tmp_path / "privacy.toml"), "--data-dir", str(tmp_path / "var")]
        done = CliRunner().invoke(check.check, ["http://example.com", *options], standalone_mode=False)
        assert done.return_value == 0
        assert "nothing found" in done.output
        assert done.output.endswith(end)


class TestSurprises:
    POLICY = POLICY.parse(POLICY_TEXT + COOKIES)

    def reasons(self, sighting: Sighting, purposes: frozenset[str]) -> dict[str, str]:
        return {found.name: found.reason for found in surprises(self.POLICY, sighting, purposes)}

    def test_a_site_that_does_what_its_file_says_has_none(self) -> None:
        sighting = Sighting(
            "example.com",
            (SeenCookie("session", "example.com"), SeenCookie("__Host-consent", "example.com", "/", 182 * DAY)),
            (("local", "theme"),),
            ("example.com", "www.example.com", "api.fonts.example"),
        )
        assert self.reasons(sighting, REQUIRED) == {}

    def test_what_needs_consent_is_a_surprise_before_it_and_none_after(self) -> None:
        sighting = Sighting(
            "example.com", (SeenCookie("_stat_id", "example.com", "/", 30 * DAY),), (), ("www.tube.example",)
        )
        assert self.reasons(sighting, REQUIRED) == {
            "_stat_id": 'is set without consent to "analytics"',
            "www.tube.example": 'is contacted without consent to "marketing"',
        }
        assert self.reasons(sighting, EVERYTHING) == {}

    def test_undeclared_things_and_long_lives_are_always_surprises(self) -> None:
        sighting = Sighting(
            "example.com",
            (SeenCookie("new", "example.com"), SeenCookie("_stat", "example.com", "/", 700 * DAY)),
            (("session", "theme"),),
            ("nobody.test",),
        )
        assert self.reasons(sighting, EVERYTHING) == {
            "new": "is not declared",
            "_stat": "lives 700 days; declared: 13 months",
            "theme": "is not declared",
            "nobody.test": "is not declared",
        }

    def test_a_vendors_own_cookies_are_covered_by_its_declaration_and_consent(self) -> None:
        sighting = Sighting("example.com", (SeenCookie("id", "www.tube.example"),))
        assert self.reasons(sighting, EVERYTHING) == {}
        assert self.reasons(sighting, REQUIRED) == {"id": "is not declared"}


class TestDraft:
    def test_a_draft_of_anything_loads_and_then_nothing_of_it_is_undeclared(self) -> None:
        sighting = Sighting(
            "www.example.com",
            (
                SeenCookie("sessionid", "www.example.com"), SeenCookie("_ga_4F2A9C1E77", "example.com", "/", 400 * DAY),
                SeenCookie('we"ird\\', "www.example.com"), SeenCookie("12345678", "www.example.com"),
                SeenCookie("IDE", "doubleclick.net", "/", 1.5 * DAY),
            ),
            (("local", "a key"), ("session", "s")),
            ("www.example.com", "www.googletagmanager.com", "static.hotjar.com", "nobody.test", "203.0.113.9"),
        )  # fmt: skip
        policy = PrivacyPolicy.parse(draft(sighting))
        found = surprises(policy, sighting, policy.required_purposes | policy.optional_purposes)
        assert [surprise.name for surprise in found] == ["12345678"], "nothing is left of its name but a star"
        named = {vendor.name: vendor.purpose for vendor in policy.vendors}
        assert named["Google Tag Manager"] == "marketing"
        assert named["Hotjar"] == "analytics"
        assert policy.site.csp == "report", "a draft is tried before it is enforced"
        assert policy.purpose("analytics").google_signals == ("analytics_storage",)

    def test_known_third_parties_are_named_by_their_hosts(self) -> None:
        assert known_party("WWW.Google-Analytics.com:443").name == "Google Analytics"  # type: ignore[union-attr]  # found
        assert known_party("localhost") is None


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, Path]]:
    """A site that stores more than its file says, and the folder of its file."""
    if find_chromium() is None:
        pytest.skip("no Chromium on this machine")
    folder = tmp_path_factory.mktemp("site")
    text = POLICY_TEXT.replace('hosts = ["example.com"]', 'hosts = ["localhost"]\nreport_storage = true') + COOKIES

    async def home(request: Request) -> Response:
        page = (
            "<!doctype html><title>t</title><a href=/second>second</a>"
            "<script>localStorage.theme = 1; localStorage.hidden = 1; document.cookie = '_stat=1';</script>"
            "<img src=http://127.0.0.1:9/x>"
        )
        response = HTMLResponse(page)
        response.set_cookie("session", "1")
        return response

    async def second(request: Request) -> Response:
        return HTMLResponse("<!doctype html><title>t</title><script>document.cookie = 'surprise=1'</script>")

    async def empty(request: Request) -> Response:
        return PlainTextResponse("")

    (folder / "privacy.toml").write_text(text)
    app = Starlette(routes=[Route("/", home), Route("/second", second), Route("/favicon.ico", empty)])
    guarded = ConsentMiddleware(app, policy=folder / "privacy.toml", data_dir=folder / "var", secret_keys=["k" * 40])
    with served(guarded) as port:
        yield f"http://localhost:{port}/", folder


@pytest.mark.browser
class TestVisits:
    def test_a_visit_finds_what_the_file_does_not_say(self, site: tuple[str, Path]) -> None:
        url, folder = site
        result = consent(folder, "check", url, "--format", "json")
        assert result.returncode == 1, result.stderr
        report = json.loads(result.stdout)
        before = {(found["kind"], found["name"]) for found in report["before_a_choice"]}
        after = {(found["kind"], found["name"]) for found in report["after_accepting"]}
        assert before == {("cookie", "_stat"), ("cookie", "surprise"), ("storage", "hidden")}
        assert after == set(), "what was found before is not told twice, and _stat is agreed to"
        assert len(report["pages"]) == 2

    def test_the_page_reports_its_storage_keys_to_the_inventory(self, site: tuple[str, Path]) -> None:
        url, folder = site
        script = (
            "import sys; from consent_middleware.browsing import browser_context\n"
            "with browser_context(settle_s=4) as visitor: visitor.look(sys.argv[1])"
        )
        subprocess.run([sys.executable, "-c", script, url], check=True, timeout=60)
        for _ in range(30):
            result = consent(folder, "check", "--live", "--format", "json")
            live = {(entry["kind"], entry["name"]) for entry in json.loads(result.stdout)["live"]}
            if ("storage", "hidden") in live:
                break
        assert ("storage", "hidden") in live
        assert ("storage", "theme") not in live, "declared"

    def test_a_draft_of_the_site_leaves_no_surprise(self, site: tuple[str, Path], tmp_path: Path) -> None:
        url, _ = site
        assert consent(tmp_path, "init", url).returncode == 0
        policy = PrivacyPolicy.load(tmp_path / "privacy.toml")
        assert {cookie.name for cookie in policy.cookies} >= {"session", "hidden", "theme", "surprise"}
        result = consent(tmp_path, "check", url, "--format", "json")
        names = {
            found["name"]
            for found in json.loads(result.stdout)["before_a_choice"]
            if found["reason"] == "is not declared"
        }
        assert names == set()

    def test_a_choice_that_was_refused_is_not_taken_for_a_site_without_consent_page(self, tmp_path: Path) -> None:
        (tmp_path / "privacy.toml").write_text(POLICY_TEXT)
        held_back = "<!doctype html><title>t</title><iframe src=https://counter.example/a width=9 height=9></iframe>"
        page = Starlette(routes=[Route("/", lambda request: HTMLResponse(held_back))])
        gated = ConsentMiddleware(page, tmp_path / "privacy.toml", tmp_path / "var", secret_keys=["k" * 40])

        async def behind_a_proxy_that_drops_the_port(scope: Scope, receive: Receive, send: Send) -> None:
            if scope["type"] == "http":
                others = [(name, value) for name, value in scope["headers"] if name != b"host"]
                scope = {**scope, "headers": [*others, (b"host", b"localhost")]}
            await gated(scope, receive, send)

        with served(behind_a_proxy_that_drops_the_port) as port:
            said = consent(tmp_path, "check", f"http://localhost:{port}/").stdout
        assert "/_consent/ answered 403" in said
        assert "keep its Host with the port" in said
        assert "no consent page" not in said
        assert "visited 1 page\n" in said, "the placeholder's link leads to the page it stands on"

    def test_what_can_not_be_visited_is_one_line_and_exit_2(self, site: tuple[str, Path]) -> None:
        _, folder = site
        for url in ("http://127.0.0.1:9/", "ftp://example.com", "http://[", "javascript:alert(1)"):
            result = consent(folder, "check", url)
            assert (result.returncode, result.stderr.count("\n")) == (2, 1), result.stderr
            assert result.stderr.startswith("error: ")

    def test_without_playwright_it_says_what_to_install(self, site: tuple[str, Path], tmp_path: Path) -> None:
        _, folder = site
        (tmp_path / "playwright.py").write_text("raise ImportError")
        command = [sys.executable, "-m", "consent_middleware", "check", "http://localhost:9/"]
        result = subprocess.run(
            command,
            cwd=folder,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
            env={"PYTHONPATH": str(tmp_path)},
        )
        assert result.returncode == 2
        assert "pip install playwright" in result.stderr
