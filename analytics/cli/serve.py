"""`analytics serve`: the service in this process, until it is told to stop."""

from __future__ import annotations

import contextlib
import json
import logging
import os
import signal
import socket
from collections.abc import Iterator
from pathlib import Path

import click

from analytics.cli.common import store_option
from consent_middleware.cli.options import data_dir_option, policy_option
from consent_middleware.lazy import UserError
from consent_middleware.policy import PolicyError, PrivacyPolicy


@click.command(help="Run the analytics service: loader, jobs, dashboard, API. Ctrl-C or SIGTERM stops it.")
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option(
    "--port", default=8765, show_default=True, type=click.IntRange(0, 65535), help="Port; 0 picks a free one."
)
@click.option("--timezone", "zone", default="UTC", show_default=True, help="The clock that days are read on.")
@click.option("--public-released", "public", is_flag=True, help="Show the released lane to everybody, without a token.")
@click.option("--logs", type=click.Choice(["text", "json"]), default="text", show_default=True, help="How logs look.")
@click.option(
    "--engine-memory",
    "megabytes",
    default=420,
    show_default=True,
    type=click.IntRange(100),
    help="Megabytes that the engine may take; the process takes about 250 more.",
)
@store_option
@policy_option
@data_dir_option
def serve(
    host: str,
    port: int,
    zone: str,
    public: bool,
    logs: str,
    megabytes: int,
    store_url: str | None,
    policy_path: Path,
    data_dir: Path,
) -> None:
    from analytics.reports.daterange import zone_of
    from analytics.reports.errors import QueryError

    if logs == "json":
        from analytics.logs import to_json

        to_json()
    policy = policy_or_none(policy_path)
    try:
        zone_of(zone)
    except QueryError as error:
        raise UserError(error.reason) from None
    listener = _listen(host, port)
    try:
        _run(listener, policy, data_dir.absolute(), zone, public, megabytes * 1_000_000, store_url)
    finally:
        listener.close()


def policy_or_none(path: Path) -> PrivacyPolicy | None:
    """The policy; None when no file was named and there is none. Raises UserError."""
    context = click.get_current_context()
    named = context.get_parameter_source("policy_path") is not click.core.ParameterSource.DEFAULT
    if not path.exists() and not named:
        return None
    try:
        return PrivacyPolicy.load(path)
    except PolicyError as error:
        raise UserError(str(error)) from None


def _listen(host: str, port: int) -> socket.socket:
    try:
        family, type_, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        listener = socket.socket(family, type_, protocol)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
        listener.listen(128)
    except OSError as error:
        raise UserError(f"cannot listen on {host}:{port}: {error.strerror or error}; choose another --port") from None
    return listener


def _run(
    listener: socket.socket,
    policy: PrivacyPolicy | None,
    data_dir: Path,
    zone: str,
    public: bool,
    memory: int,
    store_url: str | None,
) -> None:
    import uvicorn

    from analytics.service import Service
    from analytics.store import StoreUnavailable

    try:
        data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"{data_dir}: {error.strerror}") from None
    try:
        service = Service(data_dir, policy, zone=zone, public=public, memory=memory, store_url=store_url)
    except StoreUnavailable as error:
        raise UserError(f"the store can't be reached: {error}") from None
    contact = data_dir / "service.json"

    def announce() -> None:
        host, port = listener.getsockname()[:2]
        url = f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
        first = service.access.first_token()
        _write_private(contact, json.dumps({"url": url, "token": service.access.local_token(), "process": os.getpid()}))
        click.echo(f"Dashboard and API: {url}")
        if policy is None:
            click.echo("No policy file: showing what is stored; nothing is loaded, answered or sealed.")
        if first:
            click.echo(f"Operator token (shown once, stored hashed): {first}")
        click.echo("Ready. Ctrl-C stops it.")

    class Server(uvicorn.Server):
        """uvicorn, except that it leaves by the front door: the signal that ended it is not raised a second time."""

        @contextlib.contextmanager
        def capture_signals(self) -> Iterator[None]:
            before = {number: signal.signal(number, self.handle_exit) for number in (signal.SIGINT, signal.SIGTERM)}
            try:
                yield
            finally:
                for number, handler in before.items():
                    signal.signal(number, handler)

        async def startup(self, sockets: list[socket.socket] | None = None) -> None:
            await super().startup(sockets)
            announce()

    try:
        looks = None if logging.getLogger().handlers else uvicorn.config.LOGGING_CONFIG
        config = uvicorn.Config(
            service.app(), log_level="warning", log_config=looks, server_header=False, timeout_graceful_shutdown=10
        )
        Server(config).run(sockets=[listener])
    finally:
        contact.unlink(missing_ok=True)
        service.close()


def _write_private(path: Path, text: str) -> None:
    path.unlink(missing_ok=True)
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(text)
