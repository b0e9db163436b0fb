"""Starlette's own tests pass exactly as often with every application wrapped as without."""

from __future__ import annotations

import pytest

from tests.interop.starlette_suite import Unavailable, compare

SAMPLE = ["tests/test_responses.py", "tests/middleware/test_session.py", "tests/middleware/test_gzip.py"]
LEAST = {"sample": 100, "whole": 1000}


@pytest.mark.parametrize(
    ("files", "least"),
    [
        pytest.param(SAMPLE, LEAST["sample"], id="sample"),
        pytest.param([], LEAST["whole"], id="whole", marks=[pytest.mark.audit, pytest.mark.timeout(3600)]),
    ],
)
def test_wrapping_every_application_changes_no_result(files: list[str], least: int) -> None:
    try:
        comparison = compare(files)
    except Unavailable as reason:
        pytest.skip(f"Starlette's tests were not run: {reason}")
    assert comparison.differences == []
    assert min(comparison.passed()) >= least
