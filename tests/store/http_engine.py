"""A test server that hands ClickHouse's HTTP protocol to the engine in this process: `python -m tests.store.http_engine
FOLDER` prints the port it listens on.

Real HTTP against the real engine, with faults on request: a POST to `/faults` sets how the next INSERTs into `events`
fare: `{"lose": n}` carries them out and cuts the connection, `{"refuse": n}` answers 503 without doing anything,
`{"half": n}` cuts the answer in the middle, `{"slow": seconds}` waits first.
"""

from __future__ import annotations

import asyncio
import json
import os
import re
import socket
import sys
import threading
from typing import Any

import chdb
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

FORMAT = re.compile(rb"\bFORMAT\s+(\w+)\s*;?\s*$", re.IGNORECASE)
INSERT_FORMAT = re.compile(rb"^\s*INSERT\s+INTO\s+(.+?)\s+FORMAT\s+(\w+)\s*\n?", re.IGNORECASE | re.DOTALL)
# What the transport keeps for itself; everything else in the address is a setting of the query.
TRANSPORT = frozenset(
    (
        *("query", "database", "session_id", "session_timeout", "session_check", "query_id", "compress", "decompress"),
        *("wait_end_of_query", "client_protocol_version", "enable_http_compression", "quota_key", "role"),
        *("default_format", "send_progress_in_http_headers", "http_headers_progress_interval_ms", "buffer_size"),
        *("user", "password"),
    )
)


class Engine:
    """One connection to the engine, and the faults that wait."""

    def __init__(self, folder: str) -> None:
        self.connection = chdb.connect(folder)
        self.lock = threading.Lock()
        self.faults: dict[str, float] = {}

    def run(self, sql: bytes, params: dict[str, str], settings: dict[str, str], format_: str) -> bytes:
        with self.lock:
            for name, value in settings.items():
                self.connection.query(f"SET {name} = '{value}'")
            try:
                return self.connection.query(sql.decode(), format_, params=params).bytes() or b""
            finally:
                for name in settings:
                    self.connection.query(f"SET {name} = DEFAULT")

    def insert(self, target: str, format_: str, data: bytes, settings: dict[str, str]) -> bytes:
        fd = os.memfd_create("body")
        with os.fdopen(fd, "wb") as file:
            file.write(data)
            file.flush()
            sql = f"INSERT INTO {target} FROM INFILE '/proc/self/fd/{fd}' FORMAT {format_}"
            return self.run(sql.encode(), {}, settings, "TabSeparated")

    def fault(self, name: str, statement: bytes) -> bool:
        if not re.match(rb"(--[^\n]*\n|\s)*INSERT\s+INTO\s+events\b", statement) or self.faults.get(name, 0) < 1:
            return False
        self.faults[name] -= 1
        return True


def app(folder: str) -> Starlette:
    engine = Engine(folder)

    async def answer(request: Request) -> Response:
        values = dict(request.query_params)
        body = await request.body()
        if "multipart/form-data" in request.headers.get("content-type", ""):
            form = await request.form()
            values |= {name: value for name, value in form.items() if isinstance(value, str)}
            body = b""
        query = values.get("query", "").encode()
        statement = query + (b"\n" if query and body else b"") + body
        params = {name[6:]: value for name, value in values.items() if name.startswith("param_")}
        settings = {n: v for n, v in values.items() if n not in TRANSPORT and not n.startswith("param_")}
        if engine.faults.get("slow"):
            await asyncio.sleep(engine.faults["slow"])
        if engine.fault("refuse", statement):
            return Response("Code: 210. DB::NetException: the server is away", 503)
        try:
            insert = INSERT_FORMAT.match(statement)
            if insert:
                data = statement[insert.end() :]
                result = await asyncio.to_thread(
                    engine.insert, insert.group(1).decode(), insert.group(2).decode(), data, settings
                )
            else:
                found = FORMAT.search(statement)
                format_ = found.group(1).decode() if found else values.get("default_format", "TabSeparated")
                result = await asyncio.to_thread(engine.run, statement, params, settings, format_)
        except Exception as error:
            text = str(error)
            code = re.search(r"Code: (\d+)", text)
            headers = {"X-ClickHouse-Exception-Code": code.group(1)} if code else {}
            return Response(text[text.find("Code:") :] if code else text, 500, headers=headers)
        if engine.fault("lose", statement) or engine.fault("half", statement):

            async def cut() -> Any:
                yield b"x"
                raise ConnectionResetError("cut by the test")

            return StreamingResponse(cut(), headers={"content-length": "1000"})
        headers = {"X-ClickHouse-Summary": "{}", "X-ClickHouse-Timezone": "UTC"}
        if result:
            headers["X-ClickHouse-Format"] = "TabSeparated"
        return Response(result, headers=headers, media_type="application/octet-stream")

    async def faults(request: Request) -> Response:
        engine.faults = await request.json()
        return JSONResponse(engine.faults)

    async def ping(request: Request) -> Response:
        return Response("Ok.\n")

    return Starlette(
        routes=[
            Route("/ping", ping),
            Route("/faults", faults, methods=["POST"]),
            Route("/", answer, methods=["GET", "POST"]),
        ]
    )


def main() -> None:
    listener = socket.socket()
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.bind(("127.0.0.1", int(sys.argv[2]) if len(sys.argv) > 2 else 0))
    listener.listen(64)
    print(json.dumps({"port": listener.getsockname()[1]}), flush=True)
    config = uvicorn.Config(app(sys.argv[1]), log_level="critical", lifespan="off")
    uvicorn.Server(config).run(sockets=[listener])


if __name__ == "__main__":
    main()
