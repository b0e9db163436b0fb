"""One worker of a site that decides as fast as it can, for tests that kill it.

    python -m tests.ledger.deciding_worker DATA_DIR ACKNOWLEDGED [URL]

Each line of ACKNOWLEDGED is written after decide() returned, that is when a browser would hold the cookie.
"""

from __future__ import annotations

import asyncio
import os
import random
import sys
from pathlib import Path

from consent_middleware.decide import decide
from tests.ledger.parts import a_scope, services_in, take

AT_ONCE = 20


async def main(data_dir: Path, acknowledged: Path, url: str | None) -> None:
    file = os.open(acknowledged, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    choices = [frozenset({"analytics"}), frozenset({"analytics", "marketing"}), frozenset({"marketing"}), frozenset()]

    async def visitor(dice: random.Random) -> None:
        jar: dict[str, str] = {}
        while True:
            outcome = await decide(
                services,
                a_scope(services, jar),
                granted=dice.choice(choices),
                method="banner",
                language=dice.choice(["en", "de"]),
                shown=b"May we count visits?",
            )
            record = outcome.record
            os.write(file, f"{record.record_id} {record.event} {record.at}\n".encode() if record else b"refused\n")
            jar = take(jar, outcome.set_cookies) if dice.random() < 0.7 else {}

    async with services_in(data_dir, url) as services:
        await asyncio.gather(*(visitor(random.Random()) for _ in range(AT_ONCE)))


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3] if len(sys.argv) > 3 else None))
