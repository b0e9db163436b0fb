"""What a cube declares, and what is refused by name before anything is spent."""

from __future__ import annotations

import tomllib
from pathlib import Path

import msgspec
import pytest
from starlette.applications import Starlette
from starlette.routing import Mount, Route

from analytics.anonymise.bounds import plan
from analytics.anonymise.cubes import (
    DIMENSIONS,
    METRICS,
    CubeError,
    Known,
    Thresholded,
    built_in,
    check,
    cubes_of,
    period_shares,
)
from analytics.anonymise.paths import app_paths, known_paths, sitemap_paths
from analytics.anonymise.periods import Period
from consent_middleware.policy import PrivacyPolicy
from consent_middleware.policy_checks import CUBE_KEYS, CUBE_METRICS, CUBES
from consent_middleware.policy_sections import Anonymity
from tests.anonymise.audit_tools import DAY, SITE, policy


def refused(extra: str) -> str:
    """What the maker of cubes says of a section that no policy file with it passes."""
    section = msgspec.convert(tomllib.loads(extra)["anonymity"], Anonymity)
    with pytest.raises(CubeError) as caught:
        cubes_of(msgspec.structs.replace(policy(), anonymity=section))
    return str(caught.value)


def test_every_cube_and_metric_that_was_asked_for_is_there() -> None:
    assert set(built_in()) == {
        "total", "path", "entry-page", "exit-page", "source", "channel", "campaign", "country", "language", "browser",
        "os", "device", "weekday-hour", "visit-length", "event",
    }  # fmt: skip
    assert {metric for cube in built_in().values() for metric in cube.metrics} == set(METRICS)


def test_the_policy_file_knows_the_names_of_what_is_sealed() -> None:
    for tier, names in CUBES.items():
        sealed = [cube.name for cube in cubes_of(policy(f'[anonymity]\ntier = "{tier}"\n'))]
        assert sorted(sealed) == sorted(names)
    assert set(CUBE_KEYS) == set(DIMENSIONS)
    assert CUBE_METRICS == METRICS


def test_the_shares_of_the_defaults_are_the_whole_budget() -> None:
    for tier in ("standard", "small"):
        text = policy(f'[anonymity]\ntier = "{tier}"\n')
        assert sum(cube.share for cube in cubes_of(text)) == pytest.approx(1.0)
        assert sum(period_shares(text).values()) == pytest.approx(1.0)


def test_an_unknown_cube_is_refused_by_name() -> None:
    assert refused('[anonymity]\ncubes = ["total", "pathh"]\n') == (
        'cube "pathh": there is no such cube (did you mean "path"?)'
    )


def test_an_unknown_key_column_is_refused_by_name() -> None:
    assert 'cube "mine": "adress" is not a key column' in refused(
        '[anonymity]\ncubes = ["total", {name = "mine", keys = ["adress"]}]\n'
    )


def test_an_unknown_metric_is_refused_by_name() -> None:
    assert 'cube "mine": "revenue" is not a metric' in refused(
        '[anonymity]\ncubes = ["total", {name = "mine", keys = ["device"], metrics = ["revenue"]}]\n'
    )


def test_shares_above_1_are_refused_by_name() -> None:
    text = '[anonymity]\ncubes = ["total", "path"]\n[anonymity.shares]\ntotal = 0.7\npath = 0.6\n'
    assert "add up to 1.3" in refused_by_check(text)


def refused_by_check(extra: str) -> str:
    return refused(extra)


def test_a_missing_bound_is_refused_by_name() -> None:
    path = built_in()["path"]
    unbounded = msgspec.structs.replace(path, clip={"visitors": path.clip["visitors"]})
    with pytest.raises(CubeError, match=r'cube "path": no bound \(clip\) for "pageviews"'):
        check((unbounded,))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"losses": {}}, r'cube "path": no bound \(losses\) for what clipping takes from "visitors"'),
        ({"losses": {"visitors": ((8.0, 30.0),) * 3}}, r'no bound \(losses\) for what clipping takes from "pageviews"'),
        ({"losses": {"visitors": ((8.0, 0.0),) * 3}}, r'no bound \(losses\) for what clipping takes from "visitors"'),
        ({"losses": {"visitors": ((8.0, 30.0),) * 2}}, r'no bound \(losses\) for what clipping takes from "visitors"'),
        ({"losses": {"visitors": ((-8.0, 30.0),) * 3}}, r'no bound \(losses\) for what clipping takes from "visitors"'),
        ({"retention": {"bounces": 0.1}}, r'no bound \(losses\) for what clipping takes from "bounces"'),
        ({"retention": {"visitors": 0.0}}, r'no budget \(retention\) for what clipping takes from "visitors"'),
        ({"retention": {"visitors": 0.5, "pageviews": 0.5}}, r'cube "path": its metrics take more than the whole'),
        ({"metrics": {"visitors": 0.6, "pageviews": 0.5}}, r'cube "path": its metrics take more than the whole'),
        ({"clip": {"visitors": (1.0,) * 3, "pageviews": (4.0, 0.0, 4.0)}}, r'no bound \(clip\) for "pageviews"'),
        ({"clip": {"visitors": (1.0,) * 3, "pageviews": (4.0, 4.0)}}, r'no bound \(clip\) for "pageviews"'),
    ],
)
def test_bounds_and_budgets_that_could_not_keep_the_promise_are_refused_by_name(
    change: dict[str, object], message: str
) -> None:
    with pytest.raises(CubeError, match=message):
        check((msgspec.structs.replace(built_in()["path"], **change),))


def test_unknown_keys_need_visitors_to_choose_them() -> None:
    source = built_in()["source"]
    with pytest.raises(CubeError, match="chosen by"):
        check((msgspec.structs.replace(source, metrics={"visits": 1.0}),))


def test_a_share_for_nothing_is_refused_by_name() -> None:
    assert 'share "pat": there is no such cube or period (did you mean "path"?)' in refused(
        "[anonymity.shares]\npat = 0.1\n"
    )


def test_an_own_cube_of_two_known_columns_needs_no_threshold() -> None:
    text = policy('[anonymity]\ncubes = ["total", {name = "mine", keys = ["device", "channel"]}]\n')
    mine = next(cube for cube in cubes_of(text) if cube.name == "mine")
    assert isinstance(mine.keys, Known)
    assert "mobile | Email" in mine.keys.keys


def test_an_own_cube_with_an_unknown_column_gets_a_threshold_by_visitors() -> None:
    text = policy(
        '[anonymity]\ncubes = ["total", {name = "mine", keys = ["source", "device"], metrics = ["pageviews"]}]\n'
    )
    mine = next(cube for cube in cubes_of(text) if cube.name == "mine")
    assert isinstance(mine.keys, Thresholded)
    assert next(iter(mine.metrics)) == "visitors"


def test_paths_are_known_where_the_site_has_routes_or_a_sitemap(tmp_path: Path) -> None:
    (tmp_path / "sitemap.xml").write_text(
        "<urlset><url><loc>https://example.org/about</loc></url>"
        "<url><loc><![CDATA[https://example.org/a?b=1&amp;c=2]]></loc></url></urlset>"
    )
    (tmp_path / "privacy.toml").write_text(
        'revision = 1\nupdated = 2026-11-01\n[controller]\nname = "x"\n[[purpose]]\nid = "analytics"\n'
        '[capture]\nroutes = ["/", "/blog/{slug}", "/static/*"]\nsitemap = "sitemap.xml"\n'
    )
    text = PrivacyPolicy.load(tmp_path / "privacy.toml")
    assert known_paths(text) == ("/", "/about", "/a")
    path = next(cube for cube in cubes_of(text, known_paths(text)) if cube.name == "path")
    assert path.keys == Known(("/", "/about", "/a", "(other)"))


def test_a_sitemap_that_is_named_and_missing_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"capture\.sitemap"):
        sitemap_paths(tmp_path / "none.xml")


def test_the_routes_of_an_app_are_read_mounts_included() -> None:
    def page(_: object) -> None: ...

    app = Starlette(
        routes=[
            Route("/", page),
            Route("/send", page, methods=["POST"]),
            Route("/news/{slug}", page),
            Mount("/members", routes=[Route("/list", page)]),
        ]
    )
    assert app_paths(app) == ("/", "/members/list")


@pytest.mark.parametrize(
    ("text", "first", "last"),
    [
        ("day:2026-11-20", "2026-11-20", "2026-11-20"),
        ("week:2026-W53", "2026-12-28", "2027-01-03"),
        ("month:2024-02", "2024-02-01", "2024-02-29"),
    ],
)
def test_periods_are_whole_utc_days(text: str, first: str, last: str) -> None:
    period = Period.parse(text)
    assert (period.first.isoformat(), period.last.isoformat(), str(period)) == (first, last, text)
    assert period.start.hour == period.end.hour == 0


@pytest.mark.parametrize(
    "text", ["", "day:2026-13-01", "week:2026-W54", "month:2026-1", "year:2026", "day:../x", "day"]
)
def test_what_is_no_period_is_refused_with_an_example(text: str) -> None:
    with pytest.raises(ValueError, match="is not a period"):
        Period.parse(text)


def test_a_plan_says_beforehand_what_would_be_spent() -> None:
    text = policy()
    found = plan(SITE, DAY, cubes_of(text), period_shares(text), epsilon=1.0, delta=1e-6)
    assert {m.kind for m in found.measurements} == {"known", "threshold", "selected", "retention"}
    for m in found.measurements:
        assert m.sigma > 0
        assert (m.tau is None) == (m.kind != "threshold")
    assert 0 < found.epsilon < 1
