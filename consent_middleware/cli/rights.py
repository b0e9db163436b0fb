"""`consent rights`: the register of data-subject requests, and the answers that it makes by itself."""

from __future__ import annotations

import contextlib
import datetime as dt
import getpass
import json
import os
import secrets
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar, cast

import click

from consent_middleware.cli.opening import load_policy, opened_ledger
from consent_middleware.cli.options import data_dir_option, format_option, policy_option, site_address
from consent_middleware.lazy import UserError
from consent_middleware.ledger import Ledger
from consent_middleware.ledger.record import WHERE_IDS_STAND
from consent_middleware.rights.acting import Office, act, stop_marketing
from consent_middleware.rights.letters import letter
from consent_middleware.rights.links import RequestLinks
from consent_middleware.rights.providers import ProviderError, asked_of_the_site
from consent_middleware.rights.register import Register, RegisterError
from consent_middleware.rights.reminders import remind
from consent_middleware.rights.request import NOTHING_HELD, OPERATOR, RIGHTS, Request, Right, Step, record_of
from consent_middleware.rights.upkeep import settle
from consent_middleware.services import ConfigurationError, secrets_from

F = TypeVar("F", bound=Callable[..., object])


@click.group(help="The register of data-subject requests: open, answer, extend, hold, refuse.")
def rights() -> None: ...


def hooks_option(function: F) -> F:
    return click.option(
        "--hooks",
        envvar="CONSENT_HOOKS",
        show_default="$CONSENT_HOOKS, or hooks in [site] of the policy file",
        help='The site\'s module with its @rights.provider classes; "none" where the site keeps nothing about people.',
    )(function)


@contextlib.contextmanager
def _explained() -> Iterator[None]:
    try:
        yield
    except (RegisterError, ProviderError) as error:
        raise UserError(str(error)) from None


@rights.command("open", help="Note a request, for example one that came by e-mail.")
@click.option("--right", "right", type=click.Choice(RIGHTS), required=True)
@click.option(
    "--subject", required=True, help="The person, as the site's tables know them (an address, member:42), or record:ID."
)
@click.option("--identity", default="", help="What you recognised the person by; noted as the operator's word.")
@click.option("--text", default="", help="What they wrote, in short.")
@policy_option
@data_dir_option
@hooks_option
def open_command(
    right: str, subject: str, identity: str, text: str, policy_path: Path, data_dir: Path, hooks: str | None
) -> int:
    with _explained():
        if (record := record_of(subject)) is not None:
            with opened_ledger(policy_path, data_dir) as ledger:
                if not ledger.read_now(record):
                    raise RegisterError(f"{record}: no such record; {WHERE_IDS_STAND}")
        register = Register(data_dir)
        seen = f"{OPERATOR}: {identity}" if identity else OPERATOR
        request = register.open(cast(Right, right), subject, identity=seen, by=_me(), text=text)
        click.echo(f"request {request.number}: {right} for {subject}, due {request.due}")
        if right == "marketing-objection":
            # Article 21(3): there is nothing to weigh, so nothing to wait for.
            with opened_ledger(policy_path, data_dir, writing=True) as ledger:
                done = stop_marketing(_office(policy_path, data_dir, ledger, hooks), subject)
            click.echo(f"request {request.number}: {done.told}")
            if not done.whole:
                register.step(request.number, "acted", by="automatic", text=done.told)
                click.echo(f"request {request.number} stays open, because it was answered in part only", err=True)
                return 1
            register.step(request.number, "answered", by="automatic", text=done.told)
    return 0


@rights.command("list", help="Every request with its state and its deadline.")
@click.option("--due", is_flag=True, help="Only those that are open.")
@data_dir_option
@format_option("table", "json")
def list_command(due: bool, data_dir: Path, format_: str) -> int:
    today = dt.datetime.now(dt.UTC).date()
    settle(data_dir)
    register = Register(data_dir)
    listed = register.all() if register.path.exists() else []
    found = [request for request in listed if not (due and request.closed)]
    if format_ == "json":
        click.echo(json.dumps([_as_dict(request, today) for request in found], indent=2))
    else:
        from rich.console import Console
        from rich.table import Table

        table = Table(box=None, pad_edge=False, header_style="dim")
        for heading in ("number", "right", "subject", "opened", "due", "state"):
            table.add_column(heading, overflow="fold", no_wrap=heading in ("right", "opened", "due", "state"))
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
@click.option(
    "--partly", default="", metavar="REASON", help="Close it as refused in part, with the reason for the rest."
)
@click.option("--done-by-hand", default="", metavar="TEXT", help="What you did where the site's hooks can't.")
@click.option("--note", default="", metavar="TEXT", help="The answer to a complaint; the letter carries it.")
@click.option("--wait", default=20.0, show_default=True, help="Seconds for the analytics service to answer for visits.")
@policy_option
@data_dir_option
@hooks_option
def answer_command(
    number: int,
    output: Path | None,
    changes: tuple[str, ...],
    partly: str,
    done_by_hand: str,
    note: str,
    wait: float,
    policy_path: Path,
    data_dir: Path,
    hooks: str | None,
) -> int:
    with _explained():
        register = Register(data_dir)
        request = register.read(number)
        if request.closed:
            raise RegisterError(f"request {number} was closed on {request.closed.at:%Y-%m-%d}: {request.closed.step}")
        if (request.right == "complaint") != bool(note.strip()):
            raise RegisterError("a complaint, and nothing else, is answered in words: --note TEXT")
        with opened_ledger(policy_path, data_dir, writing=True) as ledger:
            done = act(_office(policy_path, data_dir, ledger, hooks, wait), request, changes)
        told = note or done.told
        if done_by_hand:
            told = f"{told.replace(NOTHING_HELD, 'nothing found')}; done by hand: {done_by_hand}"
        if done.package is not None:
            target = output or Path(f"request-{number}.zip")
            _write_private(target, done.package)
            told = f"{target}: {told}"
        click.echo(f"request {number}: {told}")
        by_hand_is_left = bool(done.by_hand) and not done_by_hand and not partly
        if partly or not done.whole or by_hand_is_left:
            register.step(number, "acted", by=_me(), text=told)  # what was done is done, whatever is left to do
        if not done.whole:
            click.echo(f"request {number} stays open, because it was answered in part only", err=True)
            return 1
        if by_hand_is_left:
            places = ", ".join(done.by_hand)
            click.echo(f"request {number} stays open: {places} must be done by hand (--done-by-hand TEXT)", err=True)
            return 1
        if partly:
            register.step(number, "partly-refused", by=_me(), text=partly)
            click.echo(f"request {number}: refused in part; `consent rights letter {number}` says so to the person")
        else:
            register.step(number, "answered", by=_me(), text=told)
    return 0


def _office(policy_path: Path, data_dir: Path, ledger: Ledger, hooks: str | None, wait: float = 20.0) -> Office:
    policy = load_policy(policy_path)
    return Office(policy, data_dir, ledger, asked_of_the_site(policy, hooks), wait)


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


@rights.command(
    "letter", help="What the person is told about a request as it stands: reason, deadline, where to complain."
)
@click.argument("number", type=int)
@policy_option
@data_dir_option
def letter_command(number: int, policy_path: Path, data_dir: Path) -> None:
    with _explained():
        click.echo(letter(load_policy(policy_path), Register(data_dir).read(number)), nl=False)


@rights.command("remind", help="Give the reminders that are owed: a week before the day, and when it has passed.")
@policy_option
@data_dir_option
def remind_command(policy_path: Path, data_dir: Path) -> int:
    given = remind(data_dir, load_policy(policy_path))
    for request, why in given:
        click.echo(f"request {request.number}: {why}, {request.due}")
    if not given:
        click.echo("no reminder is owed")
    return 1 if any(why == "overdue" for _, why in given) else 0


@rights.command("link", help="A signed link for an e-mail: whoever opens it shows that the address is theirs.")
@click.option("--right", "right", type=click.Choice(RIGHTS), required=True)
@click.option("--address", required=True, help="The e-mail address that the request is about.")
@click.option("--site", required=True, help="Where the site is, for example https://example.org.")
@click.option("--text", default="", help="What they wrote, in short.")
@policy_option
def link_command(right: str, address: str, site: str, text: str, policy_path: Path) -> None:
    policy = load_policy(policy_path)
    page = f"{site_address(site, policy.site.hosts)}{policy.site.prefix}/data/confirm"
    try:
        links = RequestLinks(secrets_from(None))
        click.echo(links.link(page, address, right, nonce=secrets.token_urlsafe(16), text=text))
    except (ConfigurationError, ValueError) as error:
        raise UserError(str(error)) from None


def _write_private(path: Path, content: bytes) -> None:
    path.unlink(missing_ok=True)
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        file.write(content)


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
