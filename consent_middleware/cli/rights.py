"""`consent rights`: the register of data-subject requests, and the answers that it makes by itself."""

from __future__ import annotations

import asyncio
import contextlib
import datetime as dt
import getpass
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar, cast

import click

from consent_middleware.cli.opening import load_policy, opened_ledger
from consent_middleware.cli.options import data_dir_option, format_option, policy_option
from consent_middleware.lazy import UserError
from consent_middleware.rights import answering
from consent_middleware.rights.providers import ProviderError, load_hooks
from consent_middleware.rights.register import Register, RegisterError
from consent_middleware.rights.request import RIGHTS, Request, Right, Step
from consent_middleware.rights.upkeep import settle

F = TypeVar("F", bound=Callable[..., object])


@click.group(help="The register of data-subject requests: open, answer, extend, hold, refuse.")
def rights() -> None: ...


def hooks_option(function: F) -> F:
    return click.option(
        "--hooks", envvar="CONSENT_HOOKS", help="The site's module with its @rights.provider classes ($CONSENT_HOOKS)."
    )(function)


@contextlib.contextmanager
def _explained(hooks: str | None = None) -> Iterator[None]:
    try:
        if hooks:
            load_hooks(hooks)
        yield
    except (RegisterError, ProviderError) as error:
        raise UserError(str(error)) from None


@rights.command("open", help="Note a request, for example one that came by e-mail.")
@click.option("--right", "right", type=click.Choice(RIGHTS), required=True)
@click.option("--subject", required=True, help="The person, as the site's tables know them (an address, member:42).")
@click.option("--identity", default="the operator's word", show_default=True, help="How the person was recognised.")
@click.option("--text", default="", help="What they wrote, in short.")
@policy_option
@data_dir_option
@hooks_option
def open_command(
    right: str, subject: str, identity: str, text: str, policy_path: Path, data_dir: Path, hooks: str | None
) -> None:
    with _explained(hooks):
        register = Register(data_dir)
        request = register.open(cast(Right, right), subject, identity=identity, by=_me(), text=text)
        click.echo(f"request {request.number}: {right} for {subject}, due {request.due}")
        if right == "marketing-objection":
            # Article 21(3): there is nothing to weigh, so nothing to wait for.
            _stop_marketing(policy_path, data_dir, subject)
            register.step(request.number, "answered", by="automatic", text="suppressed at once")
            click.echo(f"request {request.number}: suppressed at once, for every later import and mailing")


@rights.command("list", help="Every request with its state and its deadline.")
@click.option("--due", is_flag=True, help="Only those that are open.")
@data_dir_option
@format_option("table", "json")
def list_command(due: bool, data_dir: Path, format_: str) -> int:
    today = dt.datetime.now(dt.UTC).date()
    settle(data_dir)
    found = [request for request in Register(data_dir).all() if not (due and request.closed)]
    if format_ == "json":
        click.echo(json.dumps([_as_dict(request, today) for request in found], indent=2))
    else:
        from rich.console import Console
        from rich.table import Table

        table = Table(box=None, pad_edge=False, header_style="dim")
        for heading in ("number", "right", "subject", "opened", "due", "state"):
            table.add_column(heading)
        for request in found:
            row = _as_dict(request, today)
            table.add_row(*(str(row[name]) for name in ("number", "right", "subject", "opened", "due", "state")))
        Console().print(table)
    return 1 if any(request.state(today) == "overdue" for request in found) else 0


@rights.command("show", help="One request with all its steps.")
@click.argument("number", type=int)
@data_dir_option
def show_command(number: int, data_dir: Path) -> None:
    with _explained():
        request = Register(data_dir).read(number)
    click.echo(
        f"{request.number} {request.right} {request.subject} (recognised by {request.identity}), due {request.due}"
    )
    for event in request.events:
        click.echo(f"  {event.at:%Y-%m-%d %H:%M} {event.step} by {event.by} {event.text}".rstrip())


@rights.command("answer", help="Do what was asked for in every store, and write the answer for the person.")
@click.argument("number", type=int)
@click.option(
    "--output", "-o", type=click.Path(dir_okay=False, path_type=Path), help="The package, for access and portability."
)
@click.option("--set", "changes", multiple=True, metavar="FIELD=VALUE", help="For a correction (repeatable).")
@policy_option
@data_dir_option
@hooks_option
def answer_command(
    number: int, output: Path | None, changes: tuple[str, ...], policy_path: Path, data_dir: Path, hooks: str | None
) -> None:
    with _explained(hooks):
        register = Register(data_dir)
        request = register.read(number)
        if request.closed:
            raise RegisterError(f"request {number} was closed on {request.closed.at:%Y-%m-%d}: {request.closed.step}")
        done = _answer(request, output, changes, policy_path, data_dir)
        register.step(number, "answered", by=_me(), text=done)
        click.echo(f"request {number}: {done}")


def _answer(request: Request, output: Path | None, changes: tuple[str, ...], policy_path: Path, data_dir: Path) -> str:
    if request.right in {"access", "portability"}:
        target = output or Path(f"request-{request.number}.zip")
        with opened_ledger(policy_path, data_dir, writing=True) as ledger:
            holdings = answering.gather(ledger, request.subject)
        target.write_bytes(answering.package(load_policy(policy_path), request, holdings))
        target.chmod(0o600)
        counted = ", ".join(f"{len(holding.rows)} {holding.place}" for holding in holdings) or "nothing held"
        return f"{target}: {counted}"
    if request.right == "erasure":
        if request.held:
            raise RegisterError(f"request {request.number} is on hold: {request.held.text}; release it first")
        done = answering.act("erase", request.subject)
        with opened_ledger(policy_path, data_dir, writing=True) as ledger:
            forgotten = sum(ledger.forget(record) for record in ledger.records_of(request.subject).values())
        return _counted("erased", done) + f"; the proof of {forgotten} consents leads to nobody any more"
    if request.right == "correction":
        pairs = [change.partition("=") for change in changes]
        if not pairs or not all(separator for _, separator, _ in pairs):
            raise RegisterError("a correction needs what to write: --set FIELD=VALUE")
        done = {}
        for field, _, value in pairs:
            for name, count in answering.act("correct", request.subject, field, value).items():
                done[name] = None if count is None else (done.get(name) or 0) + count
        return _counted("corrected", done)
    if request.right == "restriction":
        return _counted("restricted", answering.act("restrict", request.subject, True))
    if request.right in {"objection", "marketing-objection"}:
        _stop_marketing(policy_path, data_dir, request.subject)
        return "objection noted; nothing more is sent"
    return "answered in writing"


def _counted(verb: str, done: dict[str, int | None]) -> str:
    reached = ", ".join(f"{count} {name}" for name, count in done.items() if count is not None) or "nothing"
    unable = ", ".join(name for name, count in done.items() if count is None)
    return f"{verb}: {reached}" + (f"; by hand: {unable}" if unable else "")


def _stop_marketing(policy_path: Path, data_dir: Path, subject: str) -> None:
    from consent_middleware.suppression import SuppressionList

    answering.act("stop_marketing", subject)
    with opened_ledger(policy_path, data_dir, writing=True) as ledger:
        try:
            asyncio.run(SuppressionList(ledger, load_policy(policy_path)).note(subject, method="operator"))
        except ValueError as error:
            raise UserError(str(error)) from None


def _step_command(name: str, step: Step, help_: str, *, needs_due: bool = False) -> None:
    @click.argument("number", type=int)
    @click.option("--reason", required=step != "released", default="", help="It is part of the answer to the person.")
    @data_dir_option
    def command(number: int, reason: str, data_dir: Path, until: Any = None) -> None:
        due = until.date() if until is not None else None
        with _explained():
            request = Register(data_dir).step(number, step, by=_me(), text=reason, due=due)
        click.echo(f"request {number}: {step}, due {request.due}")

    function: Any = command
    if needs_due:
        function = click.option("--until", type=click.DateTime(["%Y-%m-%d"]), required=True)(function)
    rights.command(name, help=help_)(function)


_step_command("extend", "extended", "Take up to two further months, with the reason (Art. 12(3)).", needs_due=True)
_step_command("hold", "held", "Keep what a law or a dispute needs; nothing is erased meanwhile.")
_step_command("release", "released", "End a hold.")
_step_command("refuse", "refused", "Refuse, with the reason; the answer names the authority for complaints.")
_step_command("refuse-partly", "partly-refused", "Answer in part, with the reason for the rest.")


def _as_dict(request: Request, today: dt.date) -> dict[str, Any]:
    return {
        "number": request.number,
        "right": request.right,
        "subject": request.subject,
        "identity": request.identity,
        "opened": request.opened.date().isoformat(),
        "due": request.due.isoformat(),
        "state": request.state(today),
        "steps": [{"at": e.at.isoformat(), "step": e.step, "by": e.by, "text": e.text} for e in request.events],
    }


def _me() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return "operator"
