"""`analytics report`: aggregated tables in the terminal, in a format for other programs, as a page, or by e-mail."""

from __future__ import annotations

import contextlib
import datetime as dt
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from consent_middleware.cli.options import data_dir_option, format_option, policy_option
from consent_middleware.lazy import UserError

if TYPE_CHECKING:
    from analytics.reports.asking import Asker
    from analytics.reports.compose import Ask, Report

PERIODS = "day, 7d, 30d, month, 12mo, all, FROM..TO, or a released period such as day:2026-11-20"
OPTIONS = {  # of a question's parts, by how their paths begin
    "$.date_range": "--period",
    "$.metrics": "--metric",
    "$.dimensions": "--by",
    "$.filters": "--where",
    "$.timezone": "--timezone",
    "$.lane": "--lane",
    "$.site_id": "--site",
}
NAMES = ("overview", "trend", "pages", "sources", "countries", "devices", "browsers", "weekly")


@click.command(help="Print an aggregated report: all sections, those that are named, or last week's (weekly).")
@click.argument("sections", nargs=-1, type=click.Choice(NAMES))
@click.option("--site", default="", help="The site; default: the busiest one.")
@click.option("--period", "-p", default="all", show_default=True, help=f"{PERIODS}.")
@click.option("--metric", "-m", "metrics", multiple=True, help="A table of your own: what to count (repeatable).")
@click.option("--by", "-b", "dimensions", multiple=True, help="A table of your own: what to group by (repeatable).")
@click.option(
    "--where", "-w", "filters", multiple=True, metavar="'DIMENSION is VALUE'", help="Only these (repeatable)."
)
@click.option("--limit", "-n", default=10, show_default=True, type=click.IntRange(1, 10_000), help="Rows of a table.")
@click.option("--lane", type=click.Choice(["internal", "released"]), default="internal", show_default=True)
@click.option("--timezone", "zone", default="UTC", show_default=True, help="The clock that days are read on.")
@click.option("--html", "page", type=click.Path(dir_okay=False, path_type=Path), help="Write a page to this file.")
@click.option("--output", "-o", type=click.Path(dir_okay=False, path_type=Path), help="Write to this file.")
@click.option("--mail", "addresses", multiple=True, metavar="ADDRESS", help="Send it (repeatable).")
@click.option("--smtp", envvar="ANALYTICS_SMTP", metavar="URL", help="smtp://user:password@host:port, for --mail.")
@click.option(
    "--every", type=click.Choice(["day", "week", "month", "never"]), help="With --mail: let the service send it."
)
@click.option("--sender", envvar="ANALYTICS_SENDER", default="analytics@localhost", show_default=True)
@format_option("table", "json", "csv", "parquet", "markdown", "svg")
@policy_option
@data_dir_option
def report(
    sections: tuple[str, ...],
    site: str,
    period: str,
    metrics: tuple[str, ...],
    dimensions: tuple[str, ...],
    filters: tuple[str, ...],
    limit: int,
    lane: str,
    zone: str,
    page: Path | None,
    output: Path | None,
    addresses: tuple[str, ...],
    smtp: str | None,
    every: str | None,
    sender: str,
    format_: str,
    policy_path: Path,
    data_dir: Path,
) -> None:
    from analytics.cli.serve import policy_or_none
    from analytics.reports import compose
    from analytics.reports.asking import asker
    from analytics.reports.errors import no_site
    from analytics.reports.letters import period_due

    policy = policy_or_none(policy_path)
    data_dir = data_dir.absolute()
    date_range = _date_range(period)
    if "weekly" in sections:
        date_range = [day.isoformat() for day in period_due("week", dt.datetime.now(dt.UTC).date())]
        sections = tuple(name for name in sections if name != "weekly")
    plain = compose.RELEASED if lane == "released" else compose.SECTIONS
    if format_ == "parquet" and output is None and not (page or addresses) and on_terminal():
        raise UserError("Parquet is no text: name a file, --output report.parquet")
    own: compose.Wanted = {"table": ("Table", dimensions, metrics or ("visitors",))}
    wanted = own if metrics or dimensions else {name: plain[name] for name in sections or plain}
    if every and not addresses:
        raise UserError("--every needs an address: --mail ADDRESS")
    if addresses and not smtp and not every:
        raise UserError("--mail needs a mail server: --smtp smtp://user:password@host:port, or $ANALYTICS_SMTP")
    with asker(data_dir, policy, zone) as ask:
        about = ask.about()
        if not about["sites"]:
            raise UserError("nothing is stored yet; `analytics import LOG` or `analytics serve` fills the store")
        unheld = site not in ("", *about["sites"]) and not (data_dir / "releases" / site).is_dir()
        if unheld and (every or lane == "released"):  # the internal lane looks anew, and says so itself
            raise UserError(no_site(site, about["sites"]))
        site = site or about["sites"][0]
        if every:
            _schedule(data_dir, site, addresses, every, lane)
            return
        where = [_filter(text) for text in filters]
        with _bar(ask, len(wanted)) as followed, _in_words_of_the_command():
            made = compose.compose(followed, site, date_range, wanted, lane=lane, filters=where, limit=limit)
    if page is not None:
        _write_page(made, page)
        click.echo(f"{page}: written", err=True)
    for address in addresses:
        _send(made, address, sender, str(smtp), data_dir)
    if page is None and not addresses:
        _print(made, format_, output)


def _date_range(period: str) -> Any:
    """A range as a question has it: `7d` and its like, or first and last day of FROM..TO or of a released period."""
    from analytics.anonymise.periods import Period

    if ".." in period:
        return period.split("..")
    if ":" not in period:
        return period
    try:
        whole = Period.parse(period)
    except ValueError as error:
        raise UserError(f"--period: {error}; or {PERIODS}") from None
    return [whole.first.isoformat(), whole.last.isoformat()]


@contextlib.contextmanager
def _in_words_of_the_command() -> Iterator[None]:
    """A refusal names the option at fault instead of the question's JSON path, and a released period to try."""
    from analytics.reports.remote import Refused

    try:
        yield
    except Refused as refused:
        told = str(refused)
        for path, option in OPTIONS.items():
            if refused.path.startswith(path):
                told = f"{option}: {told.removeprefix(refused.path).removeprefix(': ')}"
        if refused.nearest:
            told += f"; try -p {refused.nearest}"
        elif "is not a date range" in told:
            told = told.replace("or first and last day", "FROM..TO, or a released period such as day:2026-11-20")
        raise UserError(told) from None


@contextlib.contextmanager
def _bar(asker: Asker, sections: int) -> Iterator[Ask]:
    """A way to ask that moves a progress bar on standard error, when it is a terminal."""
    if not sys.stderr.isatty():
        yield asker.ask
        return
    from rich.console import Console
    from rich.progress import Progress

    from analytics.reports import asking

    with Progress(console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task("counting", total=sections)
        done = 0

        def ask(query: dict[str, Any]) -> dict[str, Any]:
            nonlocal done
            answer = asking.followed(asker, query, lambda share: progress.update(task, completed=done + share))
            done += 1
            progress.update(task, completed=done)
            return answer

        yield ask


def on_terminal() -> bool:
    return sys.stdout.isatty()


def _print(made: Report, format_: str, output: Path | None) -> None:
    from analytics.reports import terminal

    given = (made.site, made.period, made.sections, made.notes)
    if format_ == "parquet":
        from analytics.reports.exports import parquet

        content: str | bytes = parquet(*terminal.flat(made.sections))
    elif format_ == "svg":
        from analytics.reports.dashboard.charts import sections_svg

        content = sections_svg(made.site, made.period, made.sections) + "\n"
    else:
        content = {
            "table": lambda: terminal.as_table(*given),
            "json": lambda: terminal.as_json(*given) + "\n",
            "csv": lambda: terminal.as_csv(made.sections),
            "markdown": lambda: terminal.as_markdown(*given),
        }[format_]()
    if output is None:
        click.echo(content, nl=False)
        return
    try:
        output.write_bytes(content if isinstance(content, bytes) else content.encode())
    except OSError as error:
        raise UserError(f"{output}: {error.strerror}") from None
    click.echo(f"{output}: written", err=True)


def _write_page(made: Report, path: Path) -> None:
    from analytics.reports.mail import as_html

    try:
        path.write_text(as_html(made.site, made.period, made.lane, made.sections, made.notes), encoding="utf-8")
    except OSError as error:
        raise UserError(f"{path}: {error.strerror}") from None


def _send(made: Report, address: str, sender: str, smtp: str, data_dir: Path) -> None:
    from smtplib import SMTPException

    from analytics.reports import mail
    from analytics.reports.access import Access

    if made.lane != "released" and not Access(data_dir).is_staff(address, made.site):
        raise UserError(
            f"{address} is no staff token's address: it may get the released lane only (--lane released), "
            f"or give its token the address: analytics token create NAME --email {address}"
        )
    letter = mail.message(address, sender, made.site, made.period, made.lane, made.sections, made.notes)
    try:
        mail.send(letter, smtp)
    except (OSError, SMTPException, ValueError) as error:
        raise UserError(f"could not send to {address}: {error}") from None
    click.echo(f"sent to {address}", err=True)


def _schedule(data_dir: Path, site: str, addresses: tuple[str, ...], every: str, lane: str) -> None:
    """Have the service send the report from now on, or no longer."""
    import msgspec

    from analytics.reports.access import Access
    from analytics.reports.saved import Letter, Saved

    saved = Saved(data_dir)
    for address in addresses:
        if every == "never":
            for id_, letter in saved.all("letter", site):
                if letter.name == address:
                    saved.remove("letter", site, id_)
            click.echo(f"{address} gets no more reports of {site}", err=True)
            continue
        if lane != "released" and not Access(data_dir).is_staff(address, site):
            raise UserError(
                f"{address} is no staff token's address: it may get the released lane only (--lane released)"
            )
        try:
            letter = msgspec.convert({"name": address, "every": every, "lane": lane}, Letter)
        except msgspec.ValidationError:
            raise UserError(f'"{address}" is not an e-mail address') from None
        saved.add("letter", site, letter)
        click.echo(
            f"{address} gets the {lane} report of {site} every {every}; the service needs $ANALYTICS_SMTP", err=True
        )


def _filter(text: str) -> list[Any]:
    parts = text.split(maxsplit=2)
    if len(parts) != 3:
        raise UserError(f'--where "{text}": write DIMENSION OPERATOR VALUE, as in "visit:country is DE"')
    return [parts[1], parts[0], parts[2].split("|")]
