"""`analytics breach`: who may be affected by what happened in a stretch of time, and when the 72 hours end."""

from __future__ import annotations

import datetime as dt
from pathlib import Path

import click

from analytics.cli.common import errands_on, load_policy, store_option
from consent_middleware.cli.options import counted, data_dir_option, format_option, policy_option
from consent_middleware.lazy import UserError

PUBLIC_NOTICE = (
    "Where the risk to them is high, people of whom no address is known are told by a public notice, on the site or in "
    "the press (GDPR Art. 34(3)(c))."
)


def moment(text: str) -> dt.datetime:
    """A time with its zone, UTC when it names none. Raises UserError."""
    try:
        found = dt.datetime.fromisoformat(text)
    except ValueError:
        raise UserError(f'"{text}" is not a time: write 2026-11-20T14:30, UTC unless it names a zone') from None
    return found.astimezone(dt.UTC) if found.tzinfo else found.replace(tzinfo=dt.UTC)


@click.command(help="A data breach: what was held of whom in a stretch of time, and when the 72 hours end.")
@click.option("--from", "first", required=True, help="When it began: 2026-11-20T14:30, UTC unless it names a zone.")
@click.option("--until", "last", required=True, help="When it ended.")
@click.option("--noticed", help="When you came to know of it; by default now. The 72 hours begin there.")
@click.option("--hooks", envvar="CONSENT_HOOKS", help="The site's module with its @rights.provider classes.")
@store_option
@policy_option
@data_dir_option
@format_option("text", "json")
def breach(
    first: str,
    last: str,
    noticed: str | None,
    hooks: str | None,
    store_url: str | None,
    policy_path: Path,
    data_dir: Path,
    format_: str,
) -> int | None:
    import msgspec

    from analytics.breach import as_dict
    from analytics.errands import CountAffected

    policy, now = load_policy(policy_path), dt.datetime.now(dt.UTC)
    start, end, known = moment(first), moment(last), moment(noticed) if noticed else now
    if end < start:
        raise UserError("--until lies before --from")
    with errands_on(store_url, data_dir, policy, policy_path) as do:
        answer = do(CountAffected(start, end, known, hooks))
    found, site_asked = answer.report, answer.site_asked
    if format_ == "json":
        click.echo(msgspec.json.encode({**as_dict(found), "site_asked": site_asked}))
        return None
    left = found.tell_by - now
    click.echo(f"Tell the supervisory authority by {found.tell_by:%Y-%m-%d %H:%M} UTC: "
               f"{found.authority or 'controller.supervisory_authority is empty'}")  # fmt: skip
    span = counted(int(abs(left).total_seconds() // 3600), "hour")
    click.echo(f"Time left: {span}." if left > dt.timedelta() else f"That was {span} ago: give the reason.")
    for part in found.affected:
        people = "people unknown" if part.people is None else counted(part.people, "person", "people")
        click.echo(f"{part.store}: {counted(part.rows, 'row')}, {people}: {part.what}")
        if part.addresses:
            click.echo(f"  write to: {', '.join(part.addresses)}")
        if part.references:
            click.echo(f"  no address is known of: {', '.join(part.references)}")
        elif part.unreached:
            click.echo("  no address is known of anybody else here" if part.addresses else "  no address is known")
    if any(part.unreached for part in found.affected):
        click.echo(PUBLIC_NOTICE)
    if not found.affected:
        click.echo("Nothing of that time is held any more.")
    if found.not_asked:
        click.echo(f"By hand, their providers offer no affected(first, last): {', '.join(found.not_asked)}")
    if not site_asked:
        click.echo("The site's own tables were not asked: name their module by --hooks, or in [site] hooks")
    return None
