from __future__ import annotations

from pathlib import Path

import pytest

from tests.share.sealed_day import write_sealed_day


@pytest.fixture
def data_dir(tmp_path: Path) -> Path:
    """A data folder with one sealed day."""
    return write_sealed_day(tmp_path)
