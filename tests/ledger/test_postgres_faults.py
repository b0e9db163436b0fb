"""PostgreSQL restarted, and cut off in the middle of a commit."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from consent_middleware.ledger import Ledger, LedgerUnavailable, open_ledger
from tests.ledger.conftest import Cluster
from tests.ledger.parts import a_record, fill
from tests.ledger.test_verifying import checked

pytestmark = [pytest.mark.anyio, pytest.mark.postgres]


async def outcome(ledger: Ledger) -> tuple[str, bool]:
    """(record id, whether the ledger said that it is durable) of one consent."""
    record = a_record()
    try:
        await ledger.append(record)
    except LedgerUnavailable:
        return record.record_id, False
    return record.record_id, True


async def test_a_restart_of_the_server_refuses_meanwhile_and_loses_nothing(tmp_path: Path, cluster: Cluster) -> None:
    ledger = open_ledger(tmp_path, cluster.new_database())
    try:
        answers = [await outcome(ledger) for _ in range(20)]
        for mode in ("fast", "immediate"):
            deciding = asyncio.create_task(_keep_deciding(ledger, answers))
            await asyncio.sleep(0.2)
            await asyncio.to_thread(cluster.stop, mode)
            during = await outcome(ledger)
            assert not during[1]
            deciding.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await deciding
            await asyncio.to_thread(cluster.start)
            after = await outcome(ledger)
            assert after[1], "the ledger must come back by itself"
            answers.append(after)
        for record_id, durable in answers:
            assert not durable or len(ledger.read_now(record_id)) == 1
        assert checked(ledger).sound
    finally:
        ledger.close()


async def _keep_deciding(ledger: Ledger, answers: list[tuple[str, bool]]) -> None:
    while True:
        answers += await asyncio.gather(*(outcome(ledger) for _ in range(10)))


class CuttingProxy:
    """Between the ledger and PostgreSQL. Once told to, it cuts the line at the next COMMIT: before it, or after it."""

    def __init__(self, target: Path) -> None:
        self.target = str(target / ".s.PGSQL.5432")
        self.cut = ""
        self.cuts = 0
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        self._listener.close()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            server = socket.socket(socket.AF_UNIX)
            server.connect(self.target)
            threading.Thread(target=self._requests, args=(client, server), daemon=True).start()
            threading.Thread(target=self._answers, args=(client, server), daemon=True).start()

    def _requests(self, client: socket.socket, server: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := client.recv(65536):
                if self.cut and b"COMMIT" in data:
                    cut, self.cut = self.cut, ""
                    self.cuts += 1
                    if cut == "after":
                        # The answer to this commit is lost, the commit is not.
                        client.shutdown(socket.SHUT_RDWR)
                        server.sendall(data)
                        server.settimeout(5)
                        server.recv(65536)
                    break
                server.sendall(data)
        client.close()
        server.close()

    def _answers(self, client: socket.socket, server: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := server.recv(65536):
                client.sendall(data)


@pytest.fixture
def proxy(cluster: Cluster) -> Iterator[CuttingProxy]:
    proxy = CuttingProxy(cluster.folder)
    yield proxy
    proxy.close()


@pytest.mark.parametrize("when", ["before", "after"])
async def test_a_line_cut_at_the_commit_is_no_decision_whether_or_not_it_was_stored(
    tmp_path: Path, cluster: Cluster, proxy: CuttingProxy, when: str
) -> None:
    direct = cluster.new_database()
    name = psycopg.conninfo.conninfo_to_dict(direct)["dbname"]
    ledger = open_ledger(tmp_path, f"postgresql://consent@127.0.0.1:{proxy.port}/{name}?sslmode=disable")
    try:
        await fill(ledger, 5)
        stored = 0
        for _ in range(3):
            proxy.cut = when
            record_id, durable = await outcome(ledger)
            assert not durable
            _, durable = await outcome(ledger)
            assert durable, "the next decision must find a new line by itself"
            stored += len(ledger.read_now(record_id))
        assert proxy.cuts == 3
        assert stored == (3 if when == "after" else 0)
        assert checked(ledger).sound
    finally:
        ledger.close()


async def test_two_hosts_write_chains_of_their_own_into_one_database(tmp_path: Path, cluster: Cluster) -> None:
    url = cluster.new_database()
    hosts = [open_ledger(tmp_path / host, url) for host in ("one", "two", "three")]
    try:
        await asyncio.gather(*(fill(host, 40) for host in hosts))
        report = checked(hosts[0])
        assert report.sound
        assert (report.entries, report.chains) == (120, 3)
    finally:
        for host in hosts:
            host.close()


async def test_writers_that_count_the_same_things_in_another_order_do_not_block_each_other(
    tmp_path: Path, cluster: Cluster
) -> None:
    url = cluster.new_database()
    counts = [("2026-11-20", what, language) for what in ("shown", "ignored", "given") for language in ("en", "de")]
    ledgers = [open_ledger(tmp_path / name, url) for name in ("a", "b")]
    try:

        async def keep_writing(ledger: Ledger, order: list[tuple[str, str, str]]) -> None:
            for _ in range(150):
                await ledger.append_all((a_record(),), counts=order)

        await asyncio.gather(*map(keep_writing, ledgers, (counts, counts[::-1])))
        found = ledgers[0].reader.query("counts", {"first": "2026-11-20", "last": "2026-11-20"})
        assert [row[3] for row in found] == [300] * len(counts)
    finally:
        for ledger in ledgers:
            ledger.close()
