from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from analytics.store import open_store
from tests.anonymise.audit_tools import empty
from tests.store.sample import keep_for_ever


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """One embedded engine for the tests of a file: a process can hold one folder open at a time."""
    with open_store(None, tmp_path_factory.mktemp("seal")) as store:
        keep_for_ever(store)
        yield store


@pytest.fixture
def store(engine: Any) -> Any:
    empty(engine)
    return engine
