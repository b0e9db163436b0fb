"""A recipient's server as docs/sharing.md asks for: checks digest and signature, keeps one copy for each key.

python -m tests.share.receiving FOLDER CHAIN PORT PUBLIC_KEY [die-before-answer | stall-after=BYTES]
"""

from __future__ import annotations

import os
import ssl
import sys
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from analytics.share import signatures


class Keeping(BaseHTTPRequestHandler):
    folder: Path
    public_key: str
    trouble: str

    def do_POST(self) -> None:
        length, body = int(self.headers["content-length"]), b""
        while len(body) < length:
            part = self.rfile.read1(min(16_384, length - len(body)))
            if not part:
                return
            body += part
            if self.trouble.startswith("stall-after=") and len(body) > int(self.trouble.partition("=")[2]):
                print("stalled", flush=True)
                time.sleep(600)
        headers = {name.lower(): value for name, value in self.headers.items()}
        url = f"https://{headers['host']}{self.path}"
        if not signatures.is_valid("POST", url, headers, body, self.public_key):
            self._answer(401)
            return
        target = self.folder / f"{headers['idempotency-key'].strip(chr(34))}.zip"
        known = target.exists()
        if not known:
            partial = target.with_suffix(f".{os.getpid()}")
            partial.write_bytes(body)
            partial.rename(target)
            if self.trouble == "die-before-answer":
                os._exit(1)
        self._answer(200 if known else 201)

    def _answer(self, status: int) -> None:
        self.send_response(status)
        self.send_header("content-length", "0")
        self.end_headers()

    def log_message(self, *_: Any) -> None: ...


def main(folder: str, chain: str, port: str, public_key: str, trouble: str = "") -> None:
    Keeping.folder, Keeping.public_key, Keeping.trouble = Path(folder), public_key, trouble
    server = ThreadingHTTPServer(("127.0.0.1", int(port)), Keeping)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(chain)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    print("ready", flush=True)
    server.serve_forever()


if __name__ == "__main__":
    main(*sys.argv[1:])
