"""Who waits until a row is durable, and how they hear of it from another thread."""

from __future__ import annotations

import asyncio
import contextlib

Waiter = tuple[asyncio.AbstractEventLoop, "asyncio.Future[None]"]


class SpoolFull(Exception):
    """The limits of the spool are reached; the oldest undelivered data is kept and new events are refused."""


def tell(waiting: list[Waiter], error: Exception | None) -> None:
    """From any thread: their rows are durable, or why not."""
    by_loop: dict[asyncio.AbstractEventLoop, list[asyncio.Future[None]]] = {}
    for loop, future in waiting:
        by_loop.setdefault(loop, []).append(future)
    for loop, futures in by_loop.items():
        with contextlib.suppress(RuntimeError):  # the loop was closed: nobody waits any more
            loop.call_soon_threadsafe(_settle, futures, error)


def _settle(futures: list[asyncio.Future[None]], error: Exception | None) -> None:
    for future in futures:
        if future.done():
            continue
        if error is None:
            future.set_result(None)
        else:
            future.set_exception(SpoolFull(str(error)))
