"""Script and style stay small: the limits hold after the compression that a server would use."""

from __future__ import annotations

import brotli

from consent_middleware.pages.assets import asset


def compressed(name: str) -> int:
    return len(brotli.compress(asset(name)[0], quality=11))


def test_banner_script_and_style_weigh_at_most_5_kb() -> None:
    assert compressed("banner.js") + compressed("banner.css") <= 5_000


def test_the_statistics_script_weighs_at_most_2_kb() -> None:
    assert compressed("statistics.js") <= 2_000
