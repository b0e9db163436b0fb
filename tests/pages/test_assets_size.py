"""Script and style stay small: the limits hold after the compression that a server would use."""

from __future__ import annotations

import shutil
import subprocess

import pytest

from consent_middleware.pages.assets import asset


def compressed(name: str) -> int:
    if shutil.which("brotli") is None:
        pytest.skip("brotli is not installed: sizes are NOT checked")
    done = subprocess.run(["brotli", "-q", "11", "-c"], input=asset(name)[0], stdout=subprocess.PIPE, check=True)
    return len(done.stdout)


def test_banner_script_and_style_weigh_at_most_5_kb() -> None:
    assert compressed("banner.js") + compressed("banner.css") <= 5_000


def test_the_statistics_script_weighs_at_most_2_kb() -> None:
    assert compressed("statistics.js") <= 2_000
