"""Every parser against bytes of all kinds: broken seeds by hypothesis, and coverage-guided ones by atheris."""

from __future__ import annotations

import importlib.util
import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.fuzz.targets import TARGETS, run

ROOT = Path(__file__).resolve().parents[2]
Change = tuple[int, int, bytes]
CHANGES = st.lists(st.tuples(st.integers(0, 400), st.integers(0, 40), st.binary(max_size=12)), max_size=6)
HOSTILE = (
    b"a" * 50_000, b"/" * 50_000, b"(" * 20_000, b"%" * 50_000, b"=" * 50_000, b";" * 50_000, b"," * 50_000,
    b" " * 50_000, b"\t;" * 20_000, b"<" * 20_000, b"<a " * 10_000, b'"' * 50_000, b"0" * 50_000, b"1." * 20_000,
    b"a=b&" * 10_000, b"[" * 20_000, b'{"a":' * 10_000, b"Mozilla/5.0 (" * 500, b"a@" * 20_000 + b"!", b"&#" * 20_000,
    b"<!--" * 10_000, b"rel=" + b" " * 50_000 + b"x", b"://" * 10_000, b"\xff" * 50_000, b"x.y-" * 10_000 + b"!",
)  # fmt: skip


def broken(seed: bytes, changes: list[Change]) -> bytes:
    for place, length, instead in changes:
        at = place % (len(seed) + 1)
        seed = seed[:at] + instead + seed[at + length :]
    return seed


@pytest.mark.parametrize("name", sorted(TARGETS))
def test_no_bytes_break_a_promise_of_a_parser(name: str) -> None:
    seeds = st.sampled_from(TARGETS[name][1])

    @settings(max_examples=120, deadline=None, database=None, suppress_health_check=[HealthCheck.too_slow])
    @given(st.one_of(st.binary(max_size=200), st.builds(broken, seeds, CHANGES)))
    def bytes_of_all_kinds(data: bytes) -> None:
        run(name, data)

    bytes_of_all_kinds()


@contextmanager
def within(seconds: int) -> Iterator[None]:
    """An end to what would run for ever: no measure of speed, which a busy machine would fail."""

    def ring(number: int, frame: object) -> None:
        raise AssertionError(f"not done after {seconds} s")

    before = signal.signal(signal.SIGALRM, ring)
    signal.alarm(seconds)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


@pytest.mark.parametrize("name", sorted(TARGETS))
def test_no_text_makes_a_parser_think_for_ever(name: str) -> None:
    """Catastrophic backtracking takes years for these; a parser that reads each byte once takes milliseconds."""
    with within(60):
        for text in HOSTILE:
            run(name, text)


def atheris(seconds: int, names: list[str], **settings: str) -> int:
    """How many inputs were tried; fails with what broke a promise."""
    command = [sys.executable, "-m", "tests.fuzz.harness", str(seconds), *names]
    environment = {**os.environ, **settings}
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=seconds + 200, env=environment)
    assert done.returncode == 0, (done.stdout + done.stderr)[-4000:]
    found = re.search(r"stat::number_of_executed_units:\s*(\d+)", done.stderr)
    assert found, done.stderr[-2000:]
    return int(found[1])


needs_atheris: Callable[[Callable[..., None]], Callable[..., None]] = pytest.mark.skipif(
    importlib.util.find_spec("atheris") is None, reason="atheris is built for Linux on x86-64 only"
)


@needs_atheris
def test_a_few_seconds_of_coverage_guided_fuzzing_find_nothing() -> None:
    assert atheris(30, [], FUZZ_SEED="20261125", FUZZ_RUNS="6000") > 1000


@needs_atheris
@pytest.mark.audit
@pytest.mark.timeout(400)
@pytest.mark.parametrize("name", sorted(TARGETS))
def test_two_minutes_of_coverage_guided_fuzzing_of_each_parser_find_nothing(name: str) -> None:
    assert atheris(120, [name]) > 1000


@needs_atheris
def test_the_fuzzer_notices_a_broken_promise(tmp_path: Path) -> None:
    faulty = (
        "import sys, tests.fuzz.targets as t\n"
        "t.TARGETS['form'] = (lambda data: data.index(b'no such byte') if len(data) > 3 else None, (b'abcd',))\n"
        "sys.argv = ['harness', '5', 'form']\n"
        "import runpy; runpy.run_module('tests.fuzz.harness', run_name='__main__')\n"
    )
    done = subprocess.run([sys.executable, "-c", faulty], cwd=tmp_path, capture_output=True, text=True, timeout=200,
                          env={"PYTHONPATH": str(ROOT), "PATH": "/usr/bin"})  # fmt: skip
    assert done.returncode != 0
    assert "subsection not found" in done.stdout + done.stderr
