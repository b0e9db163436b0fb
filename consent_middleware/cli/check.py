"""`consent check`: the policy file by itself, against what a live site was caught doing, or against a visit."""

from __future__ import annotations

from pathlib import Path

import click
import msgspec

from consent_middleware.cli.options import counted, data_dir_option, format_option, policy_option
from consent_middleware.inventory import COOKIE, HOST, NOTE, STORAGE, WRITE_EVERY_S, Seen, is_declared, read_inventory
from consent_middleware.lazy import UserError
from consent_middleware.policy import PolicyError, PrivacyPolicy
from consent_middleware.sighting import Sighting, Surprise, surprises
from consent_middleware.vendors import VendorIndex

WAY_OUT = (
    "declare what belongs to the site in [[cookie]] or [[vendor]] of the policy file (`consent init URL --policy "
    "draft.toml` drafts them), and take the rest out of the site"
)

AT_LEAST = (
    "the numbers are lower bounds: a Cookie header that a worker has seen lately, or a page that it remembers, is not "
    "counted again"
)

# What to do about a note of the running site; all others are of cookies that browsers refuse.
NOTE_WAYS_OUT = {
    "compressed page": "left as it was, without banner and gate: compress outside of the middleware",
    "cookie lifetime-cut": "the site asks for a longer life than the file's `lifetime` of this cookie (without one it "
    "ends with the session): raise it there, or shorten it in the site",
    "cookie own-cookie": "dropped, since the name belongs to the middleware: rename it in the site",
    "cookie control-character": "dropped, since no browser takes it: mend its value in the site",
}
REFUSED = "browsers don't store it: mend its attributes in the site"


class Report(msgspec.Struct, frozen=True):
    """What a check found. `ok` is what the exit code says."""

    policy: str
    fingerprint: str
    ok: bool
    warnings: tuple[str, ...]
    live: list[Seen] | None = None
    before_a_choice: list[Surprise] | None = None
    after_accepting: list[Surprise] | None = None
    pages: tuple[str, ...] = ()


@click.command()
@click.argument("url", required=False)
@policy_option
@data_dir_option
@click.option("--live", is_flag=True, help="Also list what the running site did that the file does not declare.")
@click.option("--pages", type=click.IntRange(1, 100), default=5, show_default=True, help="Pages of the site to visit.")
@click.option("--strict", is_flag=True, help="Exit 1 on warnings too.")
@format_option("text", "json")
def check(
    url: str | None, policy_path: Path, data_dir: Path, live: bool, pages: int, strict: bool, format_: str
) -> int:
    """Check the policy file; with --live or URL also the site.

    URL is visited with Chromium twice, before a choice and after accepting everything; each cookie, storage key and
    third party is compared with the file. Exit 0: nothing found. 1: the site does what the file does not say. 2: the
    file is wrong, or the check could not run. Accepting leaves a record and is counted: visit a staging site. What the
    gate of the running site stopped, no visit shows: --live lists it.
    """
    policy = _load(policy_path)
    if live and not data_dir.is_dir():
        raise UserError(
            f"{data_dir}: no such data folder, so nothing is known of the running site; name the site's own: "
            "--data-dir or $CONSENT_DATA_DIR"
        )
    noted = _undeclared(policy, read_inventory(data_dir))
    seen = noted if live else None
    before = after = None
    visited: tuple[str, ...] = ()
    hindrance = ""
    if url is not None:
        before_sighting, after_sighting, hindrance = _visit(policy, url, pages)
        visited = before_sighting.pages
        before = surprises(policy, before_sighting, policy.required_purposes)
        if after_sighting is not None:
            everything = policy.required_purposes | policy.optional_purposes
            after = [found for found in surprises(policy, after_sighting, everything) if found not in before]
    ok = not (seen and any(entry.kind != NOTE for entry in seen)) and not before and not after
    report = Report(
        policy=str(policy_path),
        fingerprint=policy.fingerprint,
        ok=ok and not (strict and policy.warnings),
        warnings=policy.warnings,
        live=seen,
        before_a_choice=before,
        after_accepting=after,
        pages=visited,
    )
    if format_ == "json":
        click.echo(msgspec.json.format(msgspec.json.encode(report)).decode())
    else:
        _print(report, policy, hindrance, asked_for_visit=url is not None)
        if url is not None and not live:
            _print_hint(sum(entry.kind != NOTE for entry in noted))
    return 0 if report.ok else 1


def _load(path: Path) -> PrivacyPolicy:
    try:
        return PrivacyPolicy.load(path)
    except PolicyError as error:
        raise UserError(str(error)) from None


def _undeclared(policy: PrivacyPolicy, inventory: list[Seen]) -> list[Seen]:
    """The inventory, less what the file has come to declare since."""
    index = VendorIndex.of(policy)
    return [
        entry
        for entry in inventory
        if not (
            (entry.kind == COOKIE and is_declared(policy, entry.name, "http"))
            or (entry.kind == STORAGE and is_declared(policy, entry.name, entry.where))
            or (entry.kind == HOST and (index.find(entry.name) is not None or index.is_own(entry.name)))
        )
    ]


def _visit(policy: PrivacyPolicy, url: str, pages: int) -> tuple[Sighting, Sighting | None, str]:
    """What was seen before a choice and after accepting; and why nothing could be accepted, if so."""
    from consent_middleware.browsing import browser_context, start_url

    address = start_url(url)
    with browser_context() as visitor:
        before = visitor.look(address, pages=pages, prefix=policy.site.prefix)
        if hindrance := visitor.accept_all(address, policy.site.prefix):
            return before, None, hindrance
        return before, visitor.look(address, pages=pages, prefix=policy.site.prefix), ""


def _print(report: Report, policy: PrivacyPolicy, hindrance: str, *, asked_for_visit: bool) -> None:
    from consent_middleware.known_parties import known_party

    click.echo(
        f"{report.policy}: revision {policy.revision}, {counted(len(policy.purposes), 'purpose')}, "
        f"{counted(len(policy.cookies), 'cookie')}, {counted(len(policy.vendors), 'vendor')}, "
        f"fingerprint {report.fingerprint}"
    )
    for warning in report.warnings:
        click.echo(f"warning: {warning}")
    for entry in report.live or ():
        party = known_party(entry.name) if entry.kind == HOST else None
        who = f" ({party.name}, {party.category})" if party else ""
        where = f" [{entry.where}]" if entry.where else ""
        label = entry.kind if entry.kind == NOTE else f"undeclared {entry.kind}"
        way_out = f": {NOTE_WAYS_OUT.get(entry.name, REFUSED)}" if entry.kind == NOTE else ""
        click.echo(f"{label}: {entry.name}{who}{where}, {_at_least(entry)}, last on {entry.last}{way_out}")
    if any(entry.kind != NOTE for entry in report.live or ()):
        click.echo(AT_LEAST)
        click.echo(WAY_OUT)
    for title, found in (("before a choice", report.before_a_choice), ("after accepting", report.after_accepting)):
        for surprise in found or ():
            party = known_party(surprise.name) if surprise.kind == HOST else None
            who = f" ({party.name}, {party.category})" if party and not surprise.where else ""
            where = f" of {surprise.where}" if surprise.where else ""
            click.echo(f"{title}: {surprise.kind} {surprise.name}{where}{who} {surprise.reason}")
    if asked_for_visit:
        click.echo(f"visited {counted(len(report.pages), 'page')}")
        if report.after_accepting is None:
            click.echo(f"warning: {hindrance}, so nothing was accepted: one visit was compared")
    if report.ok:
        click.echo("nothing found" if (asked_for_visit or report.live is not None) else "the file is in order")
        if not report.live and report.live is not None:
            click.echo(f"workers write down what they see every {WRITE_EVERY_S:.0f} seconds")


def _at_least(entry: Seen) -> str:
    times = counted(entry.count, "time")
    return times if entry.kind == NOTE else f"at least {times}"


def _print_hint(noted: int) -> None:
    """Behind the gate a visitor meets only what the gate let through: a clean visit is no clean site."""
    stopped = "a visit shows what gets through; what the gate stopped is listed by `consent check --live`"
    if noted:
        stopped += f": {counted(noted, 'undeclared name')} noted on the running site"
    click.echo(stopped)
