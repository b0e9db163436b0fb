"""A line between sender and server that holds or breaks after so many bytes: what `killed half-way` looks like."""

from __future__ import annotations

import contextlib
import selectors
import socket
import threading
from typing import Self


class CuttingLine:
    """Forwards TCP to `port`. Of the next connections together it lets `limit` bytes of the sender's pass."""

    def __init__(self, port: int) -> None:
        self.target = port
        self.limit: int | None = None
        self.breaks = False  # at the limit: break the connection, or hold it until the sender is gone
        self.reached = threading.Event()
        self._passed = 0
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self._thread = threading.Thread(target=self._serve)

    def cut_after(self, limit: int | None, *, breaks: bool = False) -> None:
        self.limit, self.breaks, self._passed = limit, breaks, 0
        self.reached.clear()

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        # Closing a listener does not wake the thread that waits on it.
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._thread.join(10)

    def _serve(self) -> None:
        while True:
            try:
                sender, _ = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._forward, args=(sender,), daemon=True).start()

    def _forward(self, sender: socket.socket) -> None:
        with sender, contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", self.target)) as server:
            waiting = selectors.DefaultSelector()
            waiting.register(sender, selectors.EVENT_READ)
            waiting.register(server, selectors.EVENT_READ)
            while True:
                for key, _ in waiting.select():
                    if key.fileobj is server:
                        if not (data := server.recv(65_536)):
                            return
                        sender.sendall(data)
                        continue
                    if not (data := sender.recv(16_384)):
                        return
                    if self.limit is not None and self._passed + len(data) > self.limit:
                        self.reached.set()
                        if self.breaks:
                            sender.close()
                            server.shutdown(socket.SHUT_WR)  # what has passed does arrive
                        while (server if self.breaks else sender).recv(65_536):
                            pass
                        return
                    self._passed += len(data)
                    server.sendall(data)
