"""Reading: a connection of its own, for threads that take turns; opened when first asked, and again after a failure."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import TypeVar

from consent_middleware.ledger.database import Database, DatabaseError, Parameters, Row
from consent_middleware.ledger.writer import LedgerUnavailable

T = TypeVar("T")


class Reader:
    def __init__(self, connect: Callable[[], Database]) -> None:
        self._connect = connect
        self._database: Database | None = None
        self._turn = threading.Lock()

    def query(self, name: str, parameters: Parameters) -> list[Row]:
        """Raises LedgerUnavailable."""
        return self.use(lambda database: database.query(name, parameters))

    def use(self, function: Callable[[Database], T]) -> T:
        """What `function` answers on the connection, this thread's alone meanwhile. Raises LedgerUnavailable."""
        with self._turn:
            try:
                if self._database is None:
                    self._database = self._connect()
                return function(self._database)
            except DatabaseError as error:
                self._let_go()
                raise LedgerUnavailable(str(error)) from error

    def close(self) -> None:
        with self._turn:
            self._let_go()

    def _let_go(self) -> None:
        if self._database is not None:
            self._database.close()
            self._database = None
