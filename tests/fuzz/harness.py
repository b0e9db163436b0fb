"""Coverage-guided fuzzing by atheris: `python -m tests.fuzz.harness SECONDS [TARGET ...]`.

Makes its own corpus from the seeds of each target, instruments our packages, and ends with 1 at the first input that
breaks a promise; libFuzzer prints it and leaves it in the folder that it ran in.
"""

from __future__ import annotations

import os
import sys
import tempfile
from pathlib import Path

import atheris

with atheris.instrument_imports(include=["consent_middleware", "analytics"]):
    from tests.fuzz.targets import TARGETS


def fuzz(names: list[str], corpus: str, seconds: int) -> None:
    """The first byte chooses the target. Does not return: libFuzzer ends the process."""

    def one(data: bytes) -> None:
        if data:
            TARGETS[names[data[0] % len(names)]][0](data[1:])

    for number, name in enumerate(names):
        for place, seed in enumerate(TARGETS[name][1]):
            Path(corpus, f"{name}-{place}").write_bytes(bytes([number]) + seed)
    # With a seed the same inputs come again: a check of a change must not fail for what it did not change.
    same = [f"-seed={os.environ['FUZZ_SEED']}"] if "FUZZ_SEED" in os.environ else []
    runs = [f"-runs={os.environ['FUZZ_RUNS']}"] if "FUZZ_RUNS" in os.environ else []
    limits = [f"-max_total_time={seconds}", "-max_len=4096", "-timeout=10", "-rss_limit_mb=4096"]
    atheris.Setup([sys.argv[0], *same, *runs, *limits, "-print_final_stats=1", "-verbosity=0", corpus], one)
    atheris.Fuzz()


if __name__ == "__main__":
    chosen = sys.argv[2:] or sorted(TARGETS)
    with tempfile.TemporaryDirectory(prefix="corpus-") as folder:
        os.environ.setdefault("PYTHONHASHSEED", "0")
        fuzz(chosen, folder, int(sys.argv[1]))
