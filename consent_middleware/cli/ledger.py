"""`consent ledger`: verify, seal, prove, export, retention."""

from __future__ import annotations

import sys
from pathlib import Path

import click
import msgspec
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

from consent_middleware.cli.opening import load_policy, opened_ledger
from consent_middleware.cli.options import counted, data_dir_option, format_option, policy_option
from consent_middleware.keys import canonical, public_keys
from consent_middleware.lazy import UserError
from consent_middleware.ledger.heads import SignedHead, decode_head, head_file, heads, seal
from consent_middleware.ledger.verify import Report, verify


@click.group(help="Verify, seal, prove and export the ledger.")
def ledger() -> None: ...


def _progress(total: int | None) -> Progress:
    """A bar on standard error, which stays silent when that is not a terminal."""
    console = Console(stderr=True)
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.completed:,} entries"),
        TimeRemainingColumn(),
        console=console,
        transient=True,
        disable=not console.is_terminal,
    )


@ledger.command(
    "verify",
    short_help="Recompute every hash, name what was tampered with.",
    help="Recompute every hash; name what was changed, removed, reordered or inserted.",
)
@policy_option
@data_dir_option
@format_option("text", "json")
@click.option(
    "--head",
    "head_files",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    multiple=True,
    help="Signed heads that were kept in a second place, one in each line; may be given several times.",
)
@click.option(
    "--public-key",
    "more_keys",
    multiple=True,
    metavar="HEX",
    help="A further key that may have signed: another host's.",
)
def verify_command(
    policy_path: Path, data_dir: Path, format_: str, head_files: tuple[Path, ...], more_keys: tuple[str, ...]
) -> int:
    kept = [head for path in head_files for head in _read_heads(path)]
    with opened_ledger(policy_path, data_dir) as opened, _progress(None) as progress:
        task = progress.add_task("verifying", total=None)
        known = {*public_keys(data_dir).values(), *more_keys}
        database = opened.connect()
        try:
            report = verify(database, known, kept_heads=kept, progress=lambda n: progress.advance(task, n))
        finally:
            database.close()
    if format_ == "json":
        click.echo(msgspec.json.encode({"sound": report.sound, **msgspec.to_builtins(report)}).decode())
    else:
        _print(report, len(kept))
    return 0 if report.sound else 1


def _print(report: Report, kept: int) -> None:
    for finding in report.findings:
        click.echo(str(finding))
    entries, chains = counted(report.entries, "entry", "entries"), counted(report.chains, "chain")
    summary = f"{entries} in {chains}, {counted(report.heads, 'head')}"
    if report.ended:
        summary += f", {report.ended:,} ended by retention"
    if not report.sound:
        click.echo(f"NOT sound: {counted(len(report.findings), 'finding')}; {summary}")
        return
    since = f"{counted(report.unsealed, 'entry', 'entries')} since the last head" if report.heads else "all of it"
    rests = "rests" if not report.heads or report.unsealed == 1 else "rest"
    no_head = "" if report.heads else " (workers sign a head once a day, `consent ledger seal` does now)"
    click.echo(f"sound: {summary}; {since} {rests} on the chain alone{no_head}")
    if kept:
        click.echo(f"the heads kept in a second place ({kept}) are in it")
    else:
        click.echo("that its newest part was not cut off, only a head kept in a second place can show: --head FILE")


def _read_heads(path: Path) -> list[SignedHead]:
    try:
        lines = [line for line in path.read_bytes().splitlines() if line.strip()]
    except OSError as error:
        raise UserError(f"{path}: {error.strerror}") from None
    found = []
    for number, line in enumerate(lines, 1):
        try:
            found.append(decode_head(line))
        except msgspec.DecodeError as error:
            raise UserError(f"{path}, line {number}: not a signed head: {error}") from None
    if not found:
        raise UserError(f"{path}: holds no head")
    return found


@ledger.command("seal", short_help="Sign a head now.", help="Sign a head now (workers do it once a day by themselves).")
@policy_option
@data_dir_option
def seal_command(policy_path: Path, data_dir: Path) -> None:
    with opened_ledger(policy_path, data_dir) as opened:
        signed = seal(opened)
    click.echo(
        f"head {signed.head.number} over "
        f"{counted(sum(part.size for part in signed.head.chains), 'entry', 'entries')}: {signed.head.root}"
    )
    click.echo(f"keep a copy where nobody who can write here can: {head_file(data_dir, signed.head.number)}", err=True)


@ledger.command(
    "heads",
    short_help="Print the signed heads, for a second place.",
    help="Print the signed heads, one JSON document a line: keep them in a second place.",
)
@policy_option
@data_dir_option
def heads_command(policy_path: Path, data_dir: Path) -> None:
    with opened_ledger(policy_path, data_dir) as opened:
        signed_heads = opened.reader.use(heads)
    for signed in signed_heads:
        click.echo(canonical(signed).decode())
    if not signed_heads:
        click.echo("no head yet: workers make one a day, `consent ledger seal` makes one now", err=True)


@ledger.command(
    "proof",
    short_help="Export proofs for verify/check.py.",
    help="Export proofs that verify/check.py checks without this package.",
)
@policy_option
@data_dir_option
@click.option("--record", "record_id", help="Prove that every entry of this record is in the last head.")
@click.option("--since", type=int, metavar="HEAD", help="Prove that the last head continues this one.")
def proof_command(policy_path: Path, data_dir: Path, record_id: str | None, since: int | None) -> None:
    from consent_middleware.ledger.proofs import NothingToProve, consistency_proof, inclusion_proof

    if (record_id is None) == (since is None):
        raise UserError("say either --record ID or --since HEAD")
    with opened_ledger(policy_path, data_dir) as opened:
        try:
            if record_id is not None:
                document: object = inclusion_proof(opened, record_id)
            else:
                document = consistency_proof(opened, since or 0)
        except NothingToProve as error:
            raise UserError(str(error)) from None
    click.echo(msgspec.json.format(canonical(document), indent=1).decode())


@ledger.command("notice", help="Print the exact text that was shown, by its hash (or the beginning of it).")
@policy_option
@data_dir_option
@click.argument("digest", metavar="HASH")
def notice_command(policy_path: Path, data_dir: Path, digest: str) -> None:
    with opened_ledger(policy_path, data_dir) as opened:
        found = [row for row in opened.reader.query("notices", {}) if row[0].startswith(digest.lower())]
    if not found:
        raise UserError(f"{digest}: no text with this hash was shown (`consent record` prints the hashes)")
    if len(found) > 1:
        raise UserError(f"{digest}: {len(found)} texts begin with it: say more of the hash")
    sys.stdout.buffer.write(bytes(found[0][3]))
    if not bytes(found[0][3]).endswith(b"\n") and sys.stdout.isatty():
        click.echo()


@ledger.command("export", help="Write every consent and refusal out. Subjects stay encrypted.")
@policy_option
@data_dir_option
@format_option("jsonld", "csv", "parquet")
@click.option(
    "--output", "-o", type=click.Path(dir_okay=False, path_type=Path), help="The file; standard output otherwise."
)
def export_command(policy_path: Path, data_dir: Path, format_: str, output: Path | None) -> None:
    from consent_middleware.ledger.export import MissingLibrary, count_entries, export

    if output is None and format_ == "parquet" and sys.stdout.isatty():
        raise UserError("parquet is not for a terminal: name a file with --output")
    with opened_ledger(policy_path, data_dir) as opened:
        total = count_entries(opened)
        with _progress(total) as progress:
            task = progress.add_task("exporting", total=total)
            try:
                if output is None:
                    done = export(opened, format_, sys.stdout.buffer, progress=lambda n: progress.advance(task, n))
                else:
                    part = output.with_name(output.name + ".part")
                    with part.open("wb") as file:
                        done = export(opened, format_, file, progress=lambda n: progress.advance(task, n))
                    part.replace(output)
            except MissingLibrary as error:
                raise UserError(str(error)) from None
    if output is not None:
        click.echo(f"{output}: {counted(done, 'entry', 'entries')}", err=True)


@ledger.command(
    "retain",
    short_help="End the periods whose retention has passed.",
    help="End the sealed periods whose retention has passed, each under a signed tombstone.",
)
@policy_option
@data_dir_option
def retain_command(policy_path: Path, data_dir: Path) -> None:
    from consent_middleware.ledger.tombstones import end_old_entries

    policy = load_policy(policy_path)
    with opened_ledger(policy_path, data_dir) as opened:
        done = end_old_entries(
            opened,
            record_years=policy.retention.consent_record_years,
            disclosure_years=policy.retention.disclosures_years,
            lifetime_days=policy.consent.lifetime_days,
        )
    for ended in done:
        carried = f", {ended.carried_over} that still stand carried over" if ended.carried_over else ""
        click.echo(f"chain {ended.chain}: {counted(ended.entries, 'entry', 'entries')} ended{carried}")
    if not done:
        click.echo("nothing has reached the end of its retention")
