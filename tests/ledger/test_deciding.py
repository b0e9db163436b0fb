"""decide(): what a choice in a browser leaves in the ledger, in the cookies and in the spool; on both stores."""

from __future__ import annotations

import asyncio
import datetime as dt
import json
import sqlite3
from pathlib import Path

import pytest

from consent_middleware.capture import visitor_key
from consent_middleware.decide import Outcome, decide
from consent_middleware.ledger import LedgerUnavailable, open_ledger
from consent_middleware.policy import PrivacyPolicy
from consent_middleware.services import Services
from tests.ledger.parts import POLICY, a_scope, services_in, take

pytestmark = pytest.mark.anyio

SHOWN = b"May we count visits? Accept all, reject all."
BOTH = frozenset({"analytics", "marketing"})
ANALYTICS = frozenset({"analytics"})
NOTHING: frozenset[str] = frozenset()


async def choose(services: Services, jar: dict[str, str], granted: frozenset[str]) -> tuple[Outcome, dict[str, str]]:
    outcome = await decide(
        services, a_scope(services, jar), granted=granted, method="banner", language="en", shown=SHOWN
    )
    return outcome, take(jar, outcome.set_cookies)


def controls(data_dir: Path) -> list[dict[str, object]]:
    """Every control record in the spool."""
    lines = [line for file in data_dir.glob("spool/*/*.control") for line in file.read_text().splitlines()]
    return [json.loads(line) for line in lines]


def stored_bytes(data_dir: Path) -> bytes:
    """Everything that lies in the ledger's own folder."""
    return b"".join(file.read_bytes() for file in sorted((data_dir / "ledger").glob("*.sqlite3*")))


async def test_a_consent_is_on_disk_before_its_cookie_exists(tmp_path: Path, url: str | None) -> None:
    async with services_in(tmp_path, url) as services:
        outcome, jar = await choose(services, {}, ANALYTICS)
        # Another process would see it now.
        other = open_ledger(tmp_path, url)
        try:
            (record,) = await other.read(outcome.choice.record_id or "")
            text = await other.text_of_notice(record.notice)
        finally:
            other.close()
        assert record == outcome.record
        assert record.event == "given"
        assert record.purposes == {"analytics": True, "marketing": False}
        assert text == SHOWN
        assert services.tokens.decode(jar["__Host-consent"]).record_id == record.record_id
        assert len(jar["__Host-visitor"]) == 22


async def test_a_full_refusal_leaves_no_identifier_and_no_time_finer_than_the_day(
    tmp_path: Path, url: str | None
) -> None:
    async with services_in(tmp_path, url) as services:
        outcome, jar = await choose(services, {}, NOTHING)
        assert outcome.record is None
        assert outcome.choice.record_id is None
        assert outcome.choice.at % 86_400 == 0
        assert list(jar) == ["__Host-consent"]
        rows = services.ledger.reader.query("chain_entries", {"first": 0, "beyond": 1 << 62})
        ((_, record, revokes, body, _),) = rows
        assert record is None
        assert revokes == 0
        fields = json.loads(body)
        assert len(fields[1]) == len("2026-11-20")
        assert not any(isinstance(field, float) for field in fields)


async def test_two_refusals_of_a_day_are_the_same_bytes(tmp_path: Path) -> None:
    async with services_in(tmp_path) as services:
        await choose(services, {}, NOTHING)
        await choose(services, {}, NOTHING)
        rows = services.ledger.reader.query("chain_entries", {"first": 0, "beyond": 1 << 62})
        assert len({row[3] for row in rows}) == 1


async def test_refusals_lie_in_a_chain_of_their_own_so_that_their_order_tells_no_time(tmp_path: Path) -> None:
    async with services_in(tmp_path) as services:
        for granted in (ANALYTICS, NOTHING, ANALYTICS, NOTHING, ANALYTICS):
            await choose(services, {}, granted)
        rows = services.ledger.reader.query("chain_entries", {"first": 0, "beyond": 1 << 62})
        assert [row[0] for row in rows] == [0, 1, 2, 1 << 40, (1 << 40) + 1]


async def test_a_full_withdrawal_appends_to_the_old_record_and_owes_the_erasure(
    tmp_path: Path, url: str | None
) -> None:
    async with services_in(tmp_path, url) as services:
        given, jar = await choose(services, {}, BOTH)
        visitor = jar["__Host-visitor"]
        jar["campaign"] = "spring"
        withdrawn, after = await choose(services, jar, NOTHING)
        history = await services.ledger.read(given.choice.record_id or "")
        assert [record.event for record in history] == ["given", "withdrawn"]
        assert history[1].purposes == {"analytics": False, "marketing": False}
        assert withdrawn.choice.record_id is None
        assert list(after) == ["__Host-consent"]
        # The thread that sends owed erasures may have sent it, too.
        assert {(c["kind"], c["visitor"]) for c in controls(tmp_path)} == {("erase", visitor_key(visitor))}
        assert services.ledger.owed_erasures() == []
        assert services.revocations.revoked(given.choice.record_id or "")


async def test_taking_one_purpose_back_kills_the_old_record_and_gives_a_new_one_in_one_transaction(
    tmp_path: Path,
) -> None:
    async with services_in(tmp_path) as services:
        given, jar = await choose(services, {}, BOTH)
        changed, after = await choose(services, jar, ANALYTICS)
        old, new = given.choice.record_id or "", changed.choice.record_id or ""
        assert old != new
        assert [r.event for r in await services.ledger.read(old)] == ["given", "withdrawn"]
        (record,) = await services.ledger.read(new)
        assert (record.event, record.previous) == ("given", old)
        assert after["__Host-visitor"] == jar["__Host-visitor"]
        assert controls(tmp_path) == []


async def test_the_same_choice_again_renews_the_record_and_more_purposes_extend_it(tmp_path: Path) -> None:
    async with services_in(tmp_path) as services:
        given, jar = await choose(services, {}, ANALYTICS)
        _, jar = await choose(services, jar, ANALYTICS)
        last, _ = await choose(services, jar, BOTH)
        assert last.choice.record_id == given.choice.record_id
        history = await services.ledger.read(given.choice.record_id or "")
        assert [record.event for record in history] == ["given", "renewed", "given"]
        assert {services.ledger.subject_of(record) for record in history} == {f"visitor:{jar['__Host-visitor']}"}


async def test_somebody_who_comes_back_after_a_withdrawal_gets_another_visitor_id(tmp_path: Path) -> None:
    async with services_in(tmp_path) as services:
        _, jar = await choose(services, {}, ANALYTICS)
        old = jar["__Host-visitor"]
        _, after = await choose(services, jar, NOTHING)
        # A browser that kept the cookie all the same.
        _, again = await choose(services, {**after, "__Host-visitor": old}, ANALYTICS)
        assert again["__Host-visitor"] != old


async def test_consenting_again_to_a_changed_policy_keeps_the_visitor_id(tmp_path: Path) -> None:
    async with services_in(tmp_path) as services:
        _, jar = await choose(services, {}, ANALYTICS)
    changed = PrivacyPolicy.parse(POLICY.source.replace("revision = 4", "revision = 5"))
    async with services_in(tmp_path, policy=changed) as services:
        scope = a_scope(services)
        header = "; ".join(f"{name}={value}" for name, value in jar.items()).encode()
        scope["headers"] = [(b"host", b"law.example"), (b"cookie", header)]
        outcome = await decide(services, scope, granted=ANALYTICS, method="banner", language="en", shown=SHOWN)
        assert outcome.record is not None
        assert outcome.record.revision == 5
        assert services.ledger.subject_of(outcome.record) == f"visitor:{jar['__Host-visitor']}"
        # One that nobody signed does not count.
        scope["headers"] = [(b"host", b"law.example"), (b"cookie", b"__Host-consent=x.y; __Host-visitor=" + b"A" * 22)]
        outcome = await decide(services, scope, granted=ANALYTICS, method="banner", language="en", shown=SHOWN)
        assert outcome.record is not None
        assert services.ledger.subject_of(outcome.record) != "visitor:" + "A" * 22


async def test_refusing_a_policy_that_outgrew_the_old_consent_erases_its_rows(tmp_path: Path) -> None:
    async with services_in(tmp_path) as services:
        await choose(services, {"__Host-visitor": "A" * 22}, NOTHING)
        assert {c["visitor"] for c in controls(tmp_path)} == {visitor_key("A" * 22)}


async def test_unknown_purposes_are_not_granted(tmp_path: Path) -> None:
    async with services_in(tmp_path) as services:
        outcome, _ = await choose(services, {}, frozenset({"analytics", "everything", "necessary"}))
        assert outcome.choice.granted == ANALYTICS


async def test_neither_address_nor_user_agent_is_anywhere_in_the_proof(tmp_path: Path) -> None:
    async with services_in(tmp_path) as services:
        _, jar = await choose(services, {}, BOTH)
        _, jar = await choose(services, jar, NOTHING)
        await choose(services, {}, NOTHING)
        visitor = take({}, (await choose(services, {}, ANALYTICS))[0].set_cookies)["__Host-visitor"]
        raw = stored_bytes(tmp_path)
    raw += stored_bytes(tmp_path)
    assert b"withdrawn" in raw
    for forbidden in (b"203.0.113", b"4711", b"Mozilla", b"Testing/7", b"X11", visitor.encode()):
        assert forbidden not in raw


async def test_without_a_ledger_there_is_no_decision(tmp_path: Path) -> None:
    async with services_in(tmp_path) as services:
        await choose(services, {}, ANALYTICS)
        locker = sqlite3.connect(tmp_path / "ledger" / "ledger.sqlite3", isolation_level=None)
        locker.execute("BEGIN EXCLUSIVE")
        with pytest.raises(LedgerUnavailable, match="locked"):
            await choose(services, {}, ANALYTICS)
        locker.execute("ROLLBACK")
        locker.close()
        outcome, _ = await choose(services, {}, ANALYTICS)
        assert outcome.record is not None


async def test_choices_are_counted_by_day_purpose_language_and_method(tmp_path: Path, url: str | None) -> None:
    async with services_in(tmp_path, url) as services:
        await asyncio.gather(*(choose(services, {}, NOTHING) for _ in range(3)), choose(services, {}, ANALYTICS))
        today = dt.datetime.now(dt.UTC).date()
        counts = {(c.what, c.language): c.n for c in services.ledger.rates(today - dt.timedelta(1), today)}
        assert counts["reject", "en"] == 3
        assert counts["save", "en"] == 1
        assert counts["no analytics banner", "en"] == 3
        assert counts["yes analytics banner", "en"] == 1
        assert counts["no marketing banner", "en"] == 4
