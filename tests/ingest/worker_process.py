"""A worker that appends numbered rows until it is killed; what it says on standard output was acknowledged."""

from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path

from consent_middleware.spool import Spool
from tests.ingest.rows import QUICK, row


async def main(data_dir: Path, first: int) -> None:
    spool = Spool(data_dir / "spool", QUICK)
    number = first
    while True:
        if number % 5 == 0:
            await spool.append_durable(row(number))
        else:
            assert spool.append(row(number))
        os.write(1, b"%d\n" % number)
        number += 1
        if number % 40 == 0:
            await asyncio.sleep(0.001)


asyncio.run(main(Path(sys.argv[1]), int(sys.argv[2])))
