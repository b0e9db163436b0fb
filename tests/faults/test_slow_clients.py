"""Clients that send a byte at a time and never read: the others are served, and memory stays bounded."""

from __future__ import annotations

import asyncio
import resource
from pathlib import Path

import pytest

from tests.faults.clients import ask, consenting, event, request, resident_kb
from tests.faults.servers import Server, serving

KB_A_CLIENT = 250  # the server's own buffers: 64 kB each way, the transport, the tasks


async def hold(server: Server, clients: int, stop: asyncio.Event) -> int:
    """Half of them send an event byte by byte, half ask for a large page and do not read it."""
    held = asyncio.Semaphore(0)

    async def sender(number: int, cookie: str) -> None:
        sent = event(f"slow-{number}", cookie)
        _, writer = await asyncio.open_connection("127.0.0.1", server.port)
        held.release()
        try:
            for place in range(len(sent) - 1):
                if stop.is_set():
                    return
                writer.write(sent[place : place + 1])
                await writer.drain()
                await asyncio.sleep(0.2)
        finally:
            writer.close()

    async def deaf(cookie: str) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port, limit=1024)
        held.release()
        try:
            writer.write(request("GET", "/large", cookie=cookie))
            await reader.read(10)
            await stop.wait()
        finally:
            writer.close()

    cookie = await consenting(server.port)
    tasks = [asyncio.ensure_future(deaf(cookie) if n % 2 else sender(n, cookie)) for n in range(clients)]
    for _ in range(clients):
        await held.acquire()
    await asyncio.sleep(1)
    for number in range(40):
        assert (await ask(server.port, request("GET", f"/{number}", cookie=cookie)))[0] == 200
        assert (await ask(server.port, event(f"quick-{number}", cookie)))[0] == 202
    memory = resident_kb(server.pid)
    stop.set()
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    return memory


def beside_slow_clients(folder: Path, clients: int) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(max(soft, 4 * clients + 500), hard), hard))
    try:
        with serving(folder) as server:

            async def run() -> tuple[int, int]:
                cookie = await consenting(server.port)
                for _ in range(20):
                    await ask(server.port, request("GET", "/large", cookie=cookie))
                    await ask(server.port, request("GET", "/", cookie=cookie))
                    await ask(server.port, event("early", cookie))
                before = resident_kb(server.pid)
                after = await hold(server, clients, asyncio.Event())
                status, answer = await ask(server.port, request("GET", "/large", cookie=cookie))
                assert status == 200
                assert answer.count(b"x</p>\n") == 128
                return before, after

            before, after = asyncio.run(run())
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))

    assert after - before < KB_A_CLIENT * clients + 20_000


def test_150_slow_clients_hold_up_nobody(tmp_path: Path) -> None:
    beside_slow_clients(tmp_path, 150)


@pytest.mark.audit
@pytest.mark.timeout(600)
def test_1000_slow_clients_hold_up_nobody(tmp_path: Path) -> None:
    beside_slow_clients(tmp_path, 1000)
