"""A seal end to end: real SQL, real engine, real noise, real files."""

from __future__ import annotations

import datetime as dt
import io
import json
import sqlite3
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from analytics.anonymise import release as releasing
from analytics.anonymise import sealed
from analytics.anonymise.bounds import Measurement
from analytics.anonymise.budget import AlreadySealedError, Budget
from analytics.anonymise.mechanism import Mechanism, OverspendError
from analytics.anonymise.periods import Period
from analytics.anonymise.raw import RawPeriod
from analytics.anonymise.release import TooEarlyError, late_events, plan_of, seal
from analytics.anonymise.sealed import COLUMNS, SealError, read_parquet, verify
from tests.anonymise.audit_tools import DAY, NOW, SITE, hit, policy, put

CANARY = "canary-7f3a"
# Cubes that make a seal quick; everything else about it is as always.
SMALL = '[anonymity]\ncubes = ["total", "path", "device"]\n'


def some_visitors(count: int = 40, **values: Any) -> list[dict[str, Any]]:
    return [hit(1000 + n, 36_000 + n, path=f"/{n % 3}", device="desktop", **values) for n in range(count)]


def sums(store: Any, period: Period = DAY) -> dict[str, dict[str, int]]:
    return RawPeriod(store, plan_of(policy(SMALL), SITE, period)).sums()


def test_a_sealed_file_has_exactly_the_seven_columns(store: Any, tmp_path: Path) -> None:
    put(store, some_visitors())
    release = seal(store, policy(SMALL), SITE, DAY, tmp_path / "releases", now=NOW)
    assert tuple(pq.read_schema(release.path).names) == ("site", "period", "cube", "key", "metric", "value", "sigma")
    assert {cell.site for cell in release.cells()} == {SITE}
    assert {cell.period for cell in release.cells()} == {"day:2026-11-19"}


def test_nothing_personal_reaches_a_released_byte(store: Any, tmp_path: Path) -> None:
    secrets = [CANARY, "203.0.113.77", "Mozilla/5.0", "mallory@example.net", str(2**63 + 12345)]
    rows = some_visitors(30)
    # Rare keys of one visitor: an address in a path, an agent as a campaign, an e-mail as a source.
    rows += [
        hit(2**63 + 12345, 40_000 + n, path=f"/u?email=mallory@example.net&{CANARY}", source="203.0.113.77",
            utm_campaign="Mozilla/5.0", browser=CANARY, country=CANARY, language=CANARY, device=CANARY, os=CANARY)
        for n in range(50)
    ]  # fmt: skip
    put(store, rows)
    releases = tmp_path / "releases"
    release = seal(store, policy(), SITE, DAY, releases, now=NOW)
    everything = b"".join(path.read_bytes() for path in sorted(releases.rglob("*")) if path.is_file())
    for secret in secrets:
        assert secret.encode() not in everything, secret
    assert {"path", "source", "campaign", "browser"} <= {m["cube"] for m in release.manifest["measurements"]}


def test_the_canary_is_found_when_keys_are_released_without_a_threshold(
    store: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Leaking(Mechanism):
        def open(self, sums: Any) -> None:
            self.sums = sums
            super().open(sums)

        def draw(self, measurement: Measurement, keys: tuple[str, ...] | None = None) -> dict[str, int]:
            if measurement.kind == "threshold":
                return dict(self.sums[measurement.label])
            return super().draw(measurement, keys)

    monkeypatch.setattr("analytics.anonymise.mechanism.Mechanism", Leaking)
    put(store, [*some_visitors(30), hit(5, path=f"/{CANARY}")])
    release = seal(store, policy(SMALL), SITE, DAY, tmp_path / "releases", now=NOW)
    assert CANARY.encode() in release.path.read_bytes()


def test_a_threshold_that_is_set_too_low_is_refused_by_the_filter_itself(
    store: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("analytics.anonymise.mechanism.release_at", lambda tau: tau - 20 * 16)
    put(store, some_visitors())
    with pytest.raises(OverspendError):
        seal(store, policy(SMALL), SITE, DAY, tmp_path / "releases", now=NOW)
    assert verify(tmp_path / "releases") == []
    assert sealed.releases(tmp_path / "releases") == []


def test_a_second_read_is_byte_identical_and_a_second_seal_is_refused(store: Any, tmp_path: Path) -> None:
    put(store, some_visitors())
    releases = tmp_path / "releases"
    release = seal(store, policy(SMALL), SITE, DAY, releases, now=NOW)
    first = release.path.read_bytes()
    with pytest.raises(AlreadySealedError, match="sealed already"):
        seal(store, policy(SMALL), SITE, DAY, releases, now=NOW)
    assert sealed.read_manifest(release.manifest_path).path.read_bytes() == first
    assert sealed.read_manifest(release.manifest_path).cells() == release.cells()


def test_a_second_seal_is_refused_even_when_the_account_was_deleted(store: Any, tmp_path: Path) -> None:
    put(store, some_visitors())
    releases = tmp_path / "releases"
    seal(store, policy(SMALL), SITE, DAY, releases, now=NOW)
    (releases / "budget.sqlite3").unlink()
    with pytest.raises(AlreadySealedError):
        seal(store, policy(SMALL), SITE, DAY, releases, now=NOW)


def test_an_overspend_is_refused_before_a_row_is_read(tmp_path: Path) -> None:
    class NoStore:
        def query(self, *_: Any) -> Any:
            raise AssertionError("a row was read")

        command = query

    releases = tmp_path / "releases"
    month, greedy = Period.parse("month:2026-11"), policy(SMALL + "[anonymity.shares]\nday = 1.0\n")
    with Budget(releases) as budget:
        plan = plan_of(policy(SMALL + "[anonymity.shares]\nmonth = 0.5\n"), SITE, month)
        budget.commit(plan, 1, "0" * 64, b"cells", b"manifest")
        budget.written(SITE, month)
    with pytest.raises(OverspendError, match="2026-11-19"):
        seal(NoStore(), greedy, SITE, DAY, releases, now=NOW)


def test_a_period_is_sealed_only_when_the_delay_after_its_end_is_over(store: Any, tmp_path: Path) -> None:
    put(store, some_visitors())
    too_early = dt.datetime(2026, 11, 21, 23, 59, tzinfo=dt.UTC)
    with pytest.raises(TooEarlyError, match="2026-11-22 00:00"):
        seal(store, policy(SMALL), SITE, DAY, tmp_path / "releases", now=too_early)
    assert seal(store, policy(SMALL), SITE, DAY, tmp_path / "releases", now=too_early + dt.timedelta(minutes=1))


@pytest.mark.parametrize("basis", ["counts", "daily-key", "uk-statistics", "fr-audience", "opt-out", "imported", ""])
def test_only_consented_rows_are_counted(store: Any, basis: str) -> None:
    put(store, [hit(1), hit(2, basis=basis)])
    assert sums(store)["total/visitors"] == {"": 16}


@pytest.mark.parametrize("table", ["restricted", "objected"])
def test_restricted_and_objecting_visitors_leave_the_seal(store: Any, table: str) -> None:
    put(store, [hit(1), hit(2), hit(3)])
    store.command(f"INSERT INTO {table} (visitor, site, time) VALUES (2, 'example.org', now64())")
    assert sums(store)["total/visitors"] == {"": 32}


def test_bots_counts_and_other_sites_are_left_out(store: Any) -> None:
    put(store, [hit(1), hit(2, bot="Googlebot"), hit(3, kind="count"), hit(4, site="other.example"), hit(0)])
    assert sums(store)["total/visitors"] == {"": 16}


def test_a_visit_over_midnight_is_cut_at_the_edge_of_the_day(store: Any) -> None:
    put(store, [hit(1, 86_390, path="/a"), hit(1, 10, day=dt.date(2026, 11, 20), path="/b")])
    today = sums(store)
    assert today["total/visits"] == {"": 16}
    assert today["path/pageviews"] == {"/a": 16}
    assert today["total/bounces"] == {"": 16}, "what happened after midnight changes nothing here"


def test_visits_are_split_after_half_an_hour_of_inactivity(store: Any) -> None:
    put(store, [hit(1, 100), hit(1, 100 + 1800), hit(1, 100 + 1800 + 1801)])
    assert sums(store)["total/visits"] == {"": 32}


def test_known_keys_are_all_released_and_the_rest_is_other(store: Any, tmp_path: Path) -> None:
    text = SMALL + '[capture]\nroutes = ["/", "/about", "/blog/{slug}"]\n'
    put(store, [hit(1, path="/about"), hit(2, path=f"/{CANARY}")])
    release = seal(store, policy(text), SITE, DAY, tmp_path / "releases", now=NOW)
    assert {c.key for c in release.cells() if c.cube == "path" and c.metric == "visitors"} == {"/", "/about", "(other)"}


def test_late_events_are_counted_and_stay_out(store: Any, tmp_path: Path) -> None:
    put(store, some_visitors())
    release = seal(store, policy(SMALL), SITE, DAY, tmp_path / "releases", now=NOW)
    assert late_events(store, release) == 0
    store.command(
        "INSERT INTO events (site, time, kind, visitor, basis, loaded) "
        "VALUES ('example.org', '2026-11-19 10:00:00', 'view', 9, 'consent', '2026-12-21 00:00:00')"
    )
    assert late_events(store, release) == 1
    assert verify(tmp_path / "releases") == []


def test_a_crash_between_draw_and_files_ends_in_the_one_draw(
    store: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(store, some_visitors())
    releases = tmp_path / "releases"
    honest = sealed.write_once

    def torn(path: Path, content: bytes) -> None:
        path.write_bytes(content[:100])
        raise KeyboardInterrupt

    monkeypatch.setattr(sealed, "write_once", torn)
    with pytest.raises(KeyboardInterrupt):
        seal(store, policy(SMALL), SITE, DAY, releases, now=NOW)
    with Budget(releases) as budget:
        ((_, _, drawn, _),) = budget.unwritten()
    monkeypatch.setattr(sealed, "write_once", honest)
    with pytest.raises(AlreadySealedError):
        seal(store, policy(SMALL), SITE, DAY, releases, now=NOW)
    assert (releases / SITE / "day-2026-11-19.parquet").read_bytes() == drawn
    assert verify(releases) == []


def test_a_file_that_is_there_is_completed_or_left_and_never_replaced(tmp_path: Path) -> None:
    path = tmp_path / "day.parquet"
    path.write_bytes(b"a begin")
    sealed.write_once(path, b"a beginning")
    sealed.write_once(path, b"a beginning")
    with pytest.raises(SealError, match="never replaced"):
        sealed.write_once(path, b"another")
    assert path.read_bytes() == b"a beginning"


def test_two_seals_at_once_end_in_one_release(store: Any, tmp_path: Path) -> None:
    put(store, some_visitors())
    outcomes: list[object] = []

    def attempt() -> None:
        try:
            outcomes.append(seal(store, policy(SMALL), SITE, DAY, tmp_path / "releases", now=NOW))
        except SealError as error:
            outcomes.append(error)

    threads = [threading.Thread(target=attempt) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sum(isinstance(outcome, sealed.SealedRelease) for outcome in outcomes) == 1
    assert len(sealed.releases(tmp_path / "releases")) == 1


def test_the_account_of_what_was_spent_is_append_only(store: Any, tmp_path: Path) -> None:
    put(store, some_visitors())
    seal(store, policy(SMALL), SITE, DAY, tmp_path / "releases", now=NOW)
    account = sqlite3.connect(tmp_path / "releases" / "budget.sqlite3")
    for statement in ("UPDATE spent SET rho = 0", "DELETE FROM spent"):
        with pytest.raises(sqlite3.IntegrityError, match="append-only"):
            account.execute(statement)
    account.close()


def test_the_manifest_tells_no_exact_number_and_all_that_was_promised(store: Any, tmp_path: Path) -> None:
    put(store, some_visitors())
    manifest = seal(store, policy(SMALL), SITE, DAY, tmp_path / "releases", now=NOW).manifest
    assert manifest["promise"]["epsilon"] == 1.0
    assert 0 < manifest["spent"]["epsilon"] < 1.0
    assert manifest["spent"]["every_day_of_a_month"]["epsilon"] > 1.0
    assert manifest["policy"] == {"revision": 1, "fingerprint": policy(SMALL).fingerprint}
    by_label = {(m["cube"], m["metric"]): m for m in manifest["measurements"]}
    assert by_label["path", "visitors"]["tau"] > 1
    for m in manifest["measurements"]:
        assert m["rho"] == pytest.approx((m["l2"] / m["sigma"]) ** 2 / 2)


def test_what_is_due_is_every_ended_period_without_a_release(store: Any, tmp_path: Path) -> None:
    put(store, some_visitors())
    releases = tmp_path / "releases"
    now = dt.datetime(2026, 11, 24, 1, tzinfo=dt.UTC)
    found = [str(p) for p in releasing.due(policy(SMALL), SITE, releases, now, dt.date(2026, 11, 16))]
    assert found == ["day:2026-11-16", "day:2026-11-17", "day:2026-11-18", "day:2026-11-19", "day:2026-11-20",
                     "day:2026-11-21"]  # fmt: skip
    seal(store, policy(SMALL), SITE, DAY, releases, now=NOW)
    later = [str(p) for p in releasing.due(policy(SMALL), SITE, releases, NOW, dt.date(2026, 11, 16))]
    assert "day:2026-11-19" not in later
    assert "week:2026-W47" in later


def test_the_week_in_which_a_site_began_is_due_and_one_that_has_partly_expired_is_not(tmp_path: Path) -> None:
    began = dt.date(2026, 11, 17)  # a Tuesday
    soon = [str(p) for p in releasing.due(policy(SMALL), SITE, tmp_path / "releases", NOW, began)]
    assert "week:2026-W47" in soon
    much_later = dt.datetime.combine(began, dt.time(), dt.UTC) + dt.timedelta(days=36)
    late = [str(p) for p in releasing.due(policy(SMALL), SITE, tmp_path / "releases", much_later, began)]
    assert "week:2026-W47" not in late
    assert "week:2026-W48" in late


def test_nothing_is_due_where_nothing_was_captured(store: Any, tmp_path: Path) -> None:
    assert releasing.due_in(store, policy(SMALL), SITE, tmp_path / "releases", NOW) == []
    put(store, [hit(1)])
    found = releasing.due_in(store, policy(SMALL), SITE, tmp_path / "releases", NOW)
    assert str(found[0]) == str(DAY)


def test_small_sites_release_a_weekly_total_and_monthly_small_cubes_by_configuration_alone() -> None:
    small = policy('[anonymity]\ntier = "small"\n')
    with pytest.raises(ValueError, match="releases nothing by day"):
        plan_of(small, SITE, DAY)
    assert {c.name for c in plan_of(small, SITE, Period.parse("week:2026-W47")).cubes} == {"total"}
    month = plan_of(small, SITE, Period.parse("month:2026-11"))
    assert {c.name for c in month.cubes} == {"total", "channel", "country", "device", "visit-length"}


class TestVerify:
    @pytest.fixture
    def releases(self, store: Any, tmp_path: Path) -> Path:
        put(store, some_visitors())
        folder = tmp_path / "releases"
        for day in ("day:2026-11-18", "day:2026-11-19", "day:2026-11-20"):
            seal(store, policy(SMALL), SITE, Period.parse(day), folder, now=NOW)
        return folder

    def test_releases_as_sealed_have_no_problem(self, releases: Path) -> None:
        assert verify(releases) == []

    def test_a_changed_file_is_noticed(self, releases: Path) -> None:
        path = releases / SITE / "day-2026-11-19.parquet"
        raw = bytearray(path.read_bytes())
        raw[len(raw) // 2] ^= 1
        path.write_bytes(raw)
        assert any("SHA-256 differs" in problem for problem in verify(releases))

    def test_a_changed_manifest_is_noticed(self, releases: Path) -> None:
        path = releases / SITE / "day-2026-11-19.json"
        path.write_text(path.read_text().replace('"epsilon":1.0', '"epsilon":0.1'))
        problems = verify(releases)
        assert any("signature does not fit" in problem for problem in problems)
        assert any("chain is broken" in problem for problem in problems), "the next one names the old hash"

    def test_a_removed_release_is_noticed(self, releases: Path) -> None:
        for suffix in (".json", ".parquet"):
            (releases / SITE / f"day-2026-11-19{suffix}").unlink()
        assert any("chain is broken" in problem for problem in verify(releases))

    def test_a_release_signed_by_somebody_else_is_noticed(self, releases: Path) -> None:
        from analytics.anonymise.signing import Signer

        mallory = Signer.open(releases.parent / "mallory")
        path = releases / SITE / "day-2026-11-20.json"
        manifest = json.loads(path.read_text())["manifest"]
        envelope = {
            "manifest": manifest,
            "key": mallory.public_key,
            "signature": mallory.sign(sealed.canonical(manifest)),
        }
        path.write_bytes(sealed.canonical(envelope))
        assert any("not trusted" in problem for problem in verify(releases))

    def test_the_checker_without_packages_finds_what_verify_finds(self, releases: Path) -> None:
        checker = Path(__file__).parents[2] / "verify" / "releases.py"

        def check(*keys: str) -> subprocess.CompletedProcess[str]:
            # -S -E: neither packages nor the environment.
            command = [sys.executable, "-S", "-E", str(checker), str(releases), *keys]
            return subprocess.run(command, capture_output=True, text=True, check=False)

        assert check().returncode == 0, check().stdout
        assert check("A" * 43 + "=").returncode == 1
        assert (check("nothex").returncode, "not a key" in check("nothex").stdout) == (2, True)
        path = releases / SITE / "day-2026-11-19.json"
        honest = path.read_text()
        path.write_text(honest.replace('"epsilon":1.0', '"epsilon":0.1'))
        assert "signature does not fit" in check().stdout
        path.write_text(honest)
        path.with_suffix(".parquet").write_bytes(b"other")
        assert "not the file that was sealed" in check().stdout

    def test_an_overspent_day_is_noticed(self, releases: Path) -> None:
        from analytics.anonymise.budget import overspent_days

        manifests = [release.manifest for release in sealed.releases(releases)]
        assert overspent_days(manifests) == []
        assert overspent_days([*manifests, manifests[0], manifests[0]])


def test_the_columns_are_the_contract() -> None:
    assert COLUMNS == ("site", "period", "cube", "key", "metric", "value", "sigma")
    buffer = io.BytesIO()
    pq.write_table(pa.table({"visitor": [1]}), buffer)
    with pytest.raises(SealError, match="this one has visitor"):
        read_parquet(buffer.getvalue())


@pytest.mark.parametrize("name", ["", ".", "..", "../day.parquet", "a/b.parquet", ".parquet", "\x00.parquet", 1, None])
def test_a_manifest_names_a_file_beside_it(tmp_path: Path, name: Any) -> None:
    path = tmp_path / "day.json"
    manifest = {"period": "day:2026-11-20", "site": "example.org", "number": 1, "file": {"name": name}}
    path.write_bytes(json.dumps({"manifest": manifest}).encode())
    with pytest.raises(sealed.SealError, match=r"day\.json: not a manifest"):
        sealed.read_manifest(path)


@pytest.mark.parametrize("period", [1, None, [], {}, "day", "day:2026-13-01"])
def test_a_manifest_whose_period_is_none_says_so(tmp_path: Path, period: Any) -> None:
    path = tmp_path / "day.json"
    path.write_bytes(json.dumps({"manifest": {"period": period}}).encode())
    with pytest.raises(sealed.SealError, match=r"day\.json: not a manifest"):
        sealed.read_manifest(path)
