"""The numbers of what the gate dropped: right as soon as the inventory is written."""

from __future__ import annotations

import asyncio
from pathlib import Path

from consent_middleware.inventory import read_inventory
from tests.gate.driving import answering, call, request, wrapped


def test_every_undeclared_cookie_is_counted_when_the_inventory_is_written(tmp_path: Path) -> None:
    async def ask() -> None:
        app = wrapped(answering((b"set-cookie", b"spy=1")), tmp_path)
        written: list[int] = []
        for times in (7, 120, 1):
            for number in range(times):
                await call(app, request((b"cookie", b"snoop=%d-%d" % (times, number))))
            services = app._opening.services
            assert services is not None
            assert services.inventory._timer is not None  # what was counted last will be written by itself
            services.inventory.flush()
            counts = {entry.name: entry.count for entry in read_inventory(tmp_path / "var")}
            assert counts["spy"] == counts["snoop"]
            written.append(counts["spy"])
        assert written == [7, 127, 128]
        for number in range(3):
            await call(app, request((b"cookie", b"snoop=last-%d" % number)))
        await app.close()
        assert {entry.count for entry in read_inventory(tmp_path / "var")} == {131}
        assert services.inventory._timer is None  # and nothing is written into a folder that was given back

    asyncio.run(ask())
