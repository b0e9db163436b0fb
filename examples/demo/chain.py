"""The chain, link by link: gate, consent, ledger, capture, spool, store, anonymised release, report."""

from __future__ import annotations

import contextlib
import csv
import datetime as dt
import io
import secrets
import shutil
import threading
import time
from collections.abc import Iterable, Iterator
from fnmatch import fnmatchcase
from pathlib import Path

from rich.console import Console
from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from analytics.reports.released import ReleasedReader
from consent_middleware.policy import PrivacyPolicy
from examples import access_log
from examples.demo import show
from examples.demo.counts import SpoolWatch, loaded, served
from examples.demo.processes import ROOT, Processes, answers, free_port
from examples.demo.story import Story, held_without_consent
from examples.demo.visitors import open_browser

WORKERS = 2
SITE_HOST = "localhost"
SHOWN_CUBES = ("total", "path", "source", "country", "device")
SEALED_DAYS_BACK = 5
POLICY = ROOT / "examples" / "law_group" / "privacy.toml"


class Chain:
    """One run of the demo in one folder, which is emptied first."""

    def __init__(self, processes: Processes, folder: Path, console: Console) -> None:
        self.processes = processes
        self.folder = folder
        self.console = console
        self.data_dir = folder / "data"
        self.log = folder / "access.log"
        self.policy_path = folder / "privacy.toml"
        self.port, self.partner_port, self.bare_port, self.dashboard_port = map(free_port, (8000, 8001, 8002, 8765))
        self.site = f"http://{SITE_HOST}:{self.port}"
        self.dashboard = f"http://127.0.0.1:{self.dashboard_port}"
        self.token = ""
        self.sealed_day = dt.datetime.now(dt.UTC).date() - dt.timedelta(days=SEALED_DAYS_BACK)

    def run(self, lines: int) -> bool:
        """Tell the whole story; False when the numbers do not agree or something was issued that should not be."""
        self.prepare()
        with SpoolWatch(self.data_dir / "spool") as spool:
            with self.doing("Starting the site (2 workers), the third party, and the site without its gate"):
                self.start_sites()
            story, seconds = self.visit_while_importing(lines)
            show.heading(self.console, 1, "Cookies: issued, and held back")
            seen = {name for step in story.steps for name in (*step.storage, *(c.name for c in step.cookies))}
            show.cookies(self.console, story.steps, self.purposes(seen), SITE_HOST)
            clean = self.check_cookies(story)
            show.heading(self.console, 2, "Ledger: what was decided, and the proof")
            self.console.print("Three visitors: one refused, one agreed, one agreed and withdrew. The record stays.")
            self.show_ledger()
            show.heading(self.console, 3, f"Access log: {lines:,} lines imported in {seconds:.0f} s; aggregated report")
            self.console.print("Bots, pictures, scripts and the like are lines of the log and no page views.")
            self.console.print(
                self.command("analytics report", "overview", "pages", "sources", "countries", "browsers")
            )
            show.heading(
                self.console, 4, f"Sealed release of {self.sealed_day}: anonymous, with the noise it was drawn with"
            )
            self.show_release()
            self.start_service()
            show.heading(self.console, 5, "Live visits: served = spooled = loaded")
            with self.doing("Loading what the workers spooled"):
                # Stopped workers close their segments; then nothing is under way when the store is counted.
                self.processes.stop("site")
                self.wait_until_loaded()
                self.processes.stop("analytics serve")
            agreed = self.show_agreement(spool)
        return agreed and clean

    # Set-up

    def prepare(self) -> None:
        shutil.rmtree(self.data_dir, ignore_errors=True)
        self.data_dir.mkdir(parents=True)
        text = POLICY.read_text(encoding="utf-8").replace("127.0.0.1:8001", f"127.0.0.1:{self.partner_port}")
        self.policy_path.write_text(text, encoding="utf-8")
        self.policy = PrivacyPolicy.load(self.policy_path)
        self.environment = {
            "CONSENT_SECRET_KEYS": secrets.token_urlsafe(32),
            "CONSENT_DATA_DIR": str(self.data_dir),
            "LAW_GROUP_POLICY": str(self.policy_path),
            "LAW_GROUP_PARTNER": f"http://127.0.0.1:{self.partner_port}",
        }

    def start_sites(self) -> None:
        self.serve("third party", "examples.law_group.third_party:app", self.partner_port)
        self.serve("site", "examples.law_group.app:app", self.port, "--workers", str(WORKERS))
        self.serve("site without gate", "examples.law_group.app:site", self.bare_port)

    def serve(self, name: str, application: str, port: int, *options: str) -> None:
        arguments = ("-m", "uvicorn", application, "--host", "127.0.0.1", "--port", str(port), *options)
        self.processes.start(name, *arguments, environment=self.environment)
        path = "/tag.js" if name == "third party" else "/static/site.css"
        self.processes.wait_until(name, answers(f"http://127.0.0.1:{port}{path}"), "starting")

    def start_service(self) -> None:
        with self.doing("Starting analytics serve" + (" again" if self.token else "")):
            if not self.token:
                self.token = self.command("analytics token", "create", "demo", "--role", "operator").split()[-1]
            arguments = ("-m", "analytics", "serve", "--port", str(self.dashboard_port), *self.places())
            self.processes.start("analytics serve", *arguments)
            self.processes.wait_until("analytics serve", answers(f"{self.dashboard}/healthz"), "starting")

    def places(self) -> tuple[str, ...]:
        return ("--policy", str(self.policy_path), "--data-dir", str(self.data_dir))

    def command(self, command: str, *arguments: str) -> str:
        """Run one of the two command lines and give what it printed. Raises DemoError."""
        program, *words = command.split()
        module = "consent_middleware" if program == "consent" else "analytics"
        places = self.places() if words[0] not in {"token", "verify"} else ("--data-dir", str(self.data_dir))
        return self.processes.run(command, "-m", module, *words, *arguments, *places).rstrip()

    @contextlib.contextmanager
    def doing(self, *what: str) -> Iterator[Progress]:
        """Show that something is under way, and for how long: spinners on a terminal, a line at the end otherwise."""
        columns = (SpinnerColumn(), TextColumn("{task.description}"), TimeElapsedColumn())
        on_terminal = self.console.is_terminal
        started = time.monotonic()
        with Progress(*columns, console=self.console, transient=True, disable=not on_terminal) as progress:
            for task in what:
                progress.add_task(task)
            yield progress
        if not on_terminal:
            self.console.print(f"... {'; '.join(what)}: {time.monotonic() - started:.0f} s")

    # The links

    def visit_while_importing(self, lines: int) -> tuple[Story, float]:
        """A browser visits the site while, in another process, the log of the last days is written and imported."""
        outcome: list[BaseException | float] = []

        def write_and_import() -> None:
            try:
                with self.log.open("w", encoding="utf-8") as log:
                    access_log.write(log, lines=lines, seed=2026)
                started = time.monotonic()
                self.command("analytics import", str(self.log), "--basis", "consent")
                outcome.append(time.monotonic() - started)
            except BaseException as problem:
                outcome.append(problem)

        background = threading.Thread(target=write_and_import, name="import")
        with self.doing(f"Importing a generated access log of {lines:,} lines", "Visiting the site") as progress:
            background.start()
            try:
                with open_browser() as browser:
                    self.console.print(f"Visiting with {browser.name}.")
                    story = Story(
                        browser,
                        self.site,
                        f"http://{SITE_HOST}:{self.bare_port}",
                        lambda step: progress.console.print(f"... {step}"),
                    )
                    story.tell()
            finally:
                background.join()
        if isinstance(outcome[0], BaseException):
            raise outcome[0]
        self.processes.stop("site without gate")
        return story, outcome[0]

    def purposes(self, names: Iterable[str]) -> dict[str, str]:
        """Cookie or storage key that was seen -> the purpose that the policy file declares for it."""
        return {
            name: cookie.purpose for name in names for cookie in self.policy.cookies if fnmatchcase(name, cookie.name)
        }

    def check_cookies(self, story: Story) -> bool:
        necessary = frozenset(c.name for c in self.policy.cookies if c.purpose in self.policy.required_purposes)
        wrong = held_without_consent(story.steps, necessary, SITE_HOST)
        if wrong:
            self.console.print(f"[red]Held without consent: {', '.join(sorted(wrong))}[/red]")
        else:
            self.console.print(
                "Without a yes: the necessary cookie alone, and not one request to the third party. After the"
                " withdrawal the site's cookies are gone; the third party's lie where no site can reach them, and no"
                " request carries them any more."
            )
        return not wrong

    def show_ledger(self) -> None:
        entries = csv.DictReader(io.StringIO(self.command("consent ledger export", "--format", "csv")))
        shown = ("event", "at", "record_id", "granted", "method", "language", "notice")
        widths = {"at": 19, "record_id": 8, "notice": 12}
        rows = [[entry[name][: widths.get(name)] for name in shown] for entry in entries]
        show.table(self.console, shown, sorted(rows, key=lambda row: row[1]))
        self.console.print(self.command("consent ledger verify"))

    def show_release(self) -> None:
        period = f"day:{self.sealed_day}"
        with self.doing("Sealing a day with noise"):
            self.console.print(self.command("analytics release", "--period", period), soft_wrap=True)
        reader = ReleasedReader(self.data_dir / "releases")
        site = self.policy.site.site_id
        rows = []
        for cube, metrics in reader.cubes(site, period).items():
            for metric in metrics[:1] if cube in SHOWN_CUBES else ():
                for cell in reader.cells(site, period, cube, metric)[:4]:
                    name = cell.key or "all"
                    rows.append([cube, metric, name, cell.value, f"{cell.low} to {cell.high}", f"{cell.sigma:.1f}"])
        show.table(self.console, ["cube", "metric", "key", "value", "95 % interval", "sigma"], rows, right=(3, 4, 5))
        self.console.print(self.command("analytics verify"))

    def wait_until_loaded(self) -> None:
        """Until the service has put every segment into the store: it removes a closed one once it is there."""
        spool = self.data_dir / "spool"
        self.processes.wait_until("analytics serve", lambda: not any(spool.glob("*/*.rows")), "loading")

    def show_agreement(self, spool: SpoolWatch) -> bool:
        spooled, erased = spool.seen(), spool.erased()
        stored = loaded(self.data_dir, self.policy.site.site_id)
        counted = [
            ("served", "the web server's access log", served(self.processes.log("site"))),
            ("spooled", f"{spooled.views} with consent, {spooled.counts} identifier-free counts", spooled.total),
            ("erased", "views of the visitor who withdrew", erased),
            ("loaded", f"{stored.views} with consent, {stored.counts} identifier-free counts", stored.total),
        ]
        show.table(self.console, ["page views", "which", "number"], counted, right=(2,))
        agreed = counted[0][2] == spooled.total == stored.total + erased and spooled.total > 0
        agreed = agreed and spooled.counts == stored.counts
        if agreed:
            self.console.print("Served = spooled = loaded + erased: nothing lost, nothing doubled.")
        else:
            self.console.print("[red]The numbers do not agree.[/red]")
        return agreed

    def show_addresses(self) -> None:
        self.serve("site", "examples.law_group.app:app", self.port, "--workers", str(WORKERS))
        self.start_service()
        self.console.print(f"Site:      {self.site}")
        self.console.print(f"Dashboard: {self.dashboard}  (token {self.token})")
