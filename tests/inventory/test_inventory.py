"""The inventory: counted without blocking, written by itself, read across workers."""

from __future__ import annotations

import os
import re
import time
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from consent_middleware import inventory
from consent_middleware.inventory import Inventory, Seen, is_declared, matches, read_inventory
from tests.html.pages_for_tests import POLICY


def test_what_was_counted_is_read_back_across_workers_and_restarts(tmp_path: Path) -> None:
    for host in ("a.test", "b.test"):
        worker = Inventory(tmp_path)
        worker.undeclared_cookie("_ga", "example.com")
        worker.undeclared_cookie("_ga", "Example.com:18423")
        worker.storage_key("theme", "local")
        worker.blocked_host(host, "img-src")
        worker.note("compressed page", "example.com")
        worker.close()
    seen = {(entry.kind, entry.name, entry.where): entry.count for entry in read_inventory(tmp_path)}
    assert seen == {
        ("cookie", "_ga", "example.com"): 4,
        ("storage", "theme", "local"): 2,
        ("host", "a.test", "img-src"): 1,
        ("host", "b.test", "img-src"): 1,
        ("note", "compressed page", "example.com"): 2,
    }


def test_it_is_written_without_being_asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(inventory, "WRITE_EVERY_S", 0.05)
    worker = Inventory(tmp_path)
    worker.blocked_host("a.test")
    for _ in range(200):
        if read_inventory(tmp_path):
            break
        time.sleep(0.05)
    assert [entry.name for entry in read_inventory(tmp_path)] == ["a.test"]


def test_a_folder_that_can_not_be_written_stops_nothing(tmp_path: Path) -> None:
    (tmp_path / "inventory").write_text("a file where the folder should be")
    worker = Inventory(tmp_path)
    worker.blocked_host("a.test")
    worker.close()
    assert [entry.name for entry in worker.seen()] == ["a.test"]


def test_files_that_are_damaged_or_old_are_passed_over(tmp_path: Path) -> None:
    worker = Inventory(tmp_path)
    worker.blocked_host("a.test")
    worker.close()
    folder = tmp_path / "inventory"
    (folder / "1-1.json").write_text('[["host", "cut o')
    (folder / "1-2.json").write_text('{"a": 1}')
    old = folder / "1-3.json"
    old.write_text('[{"kind":"host","name":"old.test","where":"","count":1,"first":"2020-01-01","last":"2020-01-01"}]')
    os.utime(old, (1, 1))
    assert [entry.name for entry in read_inventory(tmp_path)] == ["a.test"]
    assert not old.exists()


def test_the_most_frequent_comes_first(tmp_path: Path) -> None:
    worker = Inventory(tmp_path)
    for name in ("rare.test", "often.test", "often.test"):
        worker.blocked_host(name)
    worker.close()
    assert [entry.name for entry in read_inventory(tmp_path)] == ["often.test", "rare.test"]
    assert isinstance(read_inventory(tmp_path)[0], Seen)


@pytest.mark.parametrize(
    ("pattern", "name", "fits"),
    [
        ("_ga", "_ga", True), ("_ga", "_gat", False), ("_ga*", "_ga_X", True), ("*", "", True), ("a*c", "ac", True),
        ("a*c", "abd", False), ("a.c", "abc", False), ("*id*", "_pk_id.1", True), ("a*b*c", "axxbyyc", True),
    ],
)  # fmt: skip
def test_a_star_stands_for_any_characters_and_nothing_else_does(pattern: str, name: str, fits: bool) -> None:
    assert matches(pattern, name) is fits


@settings(deadline=None)
@given(st.text("ab*", max_size=8), st.text("ab", max_size=10))
def test_a_pattern_means_what_its_regular_expression_means(pattern: str, name: str) -> None:
    expression = ".*".join(map(re.escape, pattern.split("*")))
    assert matches(pattern, name) is (re.fullmatch(expression, name) is not None)


def test_a_pattern_of_many_stars_is_judged_quickly() -> None:
    assert not matches("*a" * 30 + "b", "a" * 200)


def test_a_cookie_is_declared_by_kind() -> None:
    policy = POLICY.parse(POLICY.source + '\n[[cookie]]\nname = "theme"\nkind = "local"\npurpose = "necessary"\n')
    assert is_declared(policy, "theme", "local")
    assert not is_declared(policy, "theme", "http")
