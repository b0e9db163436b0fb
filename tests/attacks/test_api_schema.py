"""schemathesis over the service's own /openapi.json: no request that it thinks of is answered by a fault of ours."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.reports.test_service_process import Running, running

__all__ = ["running"]


def checked(running: Running, folder: Path, examples: int, phases: str = "examples,fuzzing") -> None:
    """Run schemathesis against the service, each documented operation with this many examples."""
    command = [
        str(Path(sys.executable).with_name("schemathesis")), "run", running.url + "/openapi.json",
        "--header", f"Authorization: Bearer {running.token}", "--max-examples", str(examples), "--no-color",
        "--checks", "not_a_server_error,status_code_conformance,content_type_conformance,response_schema_conformance",
        "--phases", phases, "--seed", "10", "--request-timeout", "60",
    ]  # fmt: skip
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=1500)
    assert done.returncode == 0, (done.stdout + done.stderr)[-6000:]


def test_a_sample_of_requests_after_the_document_finds_no_fault(running: Running, tmp_path: Path) -> None:
    status, document = running.get("/openapi.json")
    assert status == 200
    assert json.loads(document)["openapi"].startswith("3.")
    checked(running, tmp_path, 8)


@pytest.mark.audit
@pytest.mark.timeout(1800)
def test_many_requests_after_the_document_find_no_fault(running: Running, tmp_path: Path) -> None:
    checked(running, tmp_path, 300, "examples,coverage,fuzzing")
