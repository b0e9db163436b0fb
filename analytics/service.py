"""The analytics service: one process that owns the store, works through a table of jobs, answers API and dashboard."""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import logging
import os
import shutil
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import IO

import msgspec
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from analytics import jobs
from analytics.relay import Relay
from analytics.reports.access import LINK, Access
from analytics.reports.api import Api, refuse, reply
from analytics.reports.dashboard.pages import Dashboard
from analytics.reports.guard import Guard
from analytics.reports.pool import Pool
from analytics.reports.reporting import Reporting
from analytics.reports.running import StopsWithReader
from analytics.store import StoreInUse, open_store
from analytics.store.resident import give_back
from consent_middleware.policy import PrivacyPolicy

METHODS = frozenset({"GET", "HEAD", "POST", "DELETE"})
READERS = 32
ENGINE_BYTES = 420_000_000
# Read by the engine's allocator when its library is loaded: freed pages go back after a fifth of a second, not after
# five, so that a large statement does not lie on top of what the one before it left. An import, which is over in
# seconds, would take 90,000 pages more for it.
ALLOCATOR = ("JE_MALLOC_CONF", "dirty_decay_ms:200,muzzy_decay_ms:0")
log = logging.getLogger("analytics")


class Job(msgspec.Struct, frozen=True):
    """One kind of background work: what it does, how often in seconds, the function that does it once."""

    what: str
    every: float
    function: Callable[[jobs.Workplace], object]


JOBS = (
    Job("load spooled segments", 2, jobs.load),
    Job("answer visitors' requests", 1, jobs.answer_requests),
    Job("count the cells of busy sites", 15, jobs.count_cells),
    Job("give memory back", 30, jobs.give_memory_back),
    Job("seal finished periods", 3600, jobs.seal),
    Job("send reports that are due", 600, jobs.send_letters),
    Job("remove what is past its time", 6 * 3600, jobs.retain),
)


class Meters:
    """What the service tells Prometheus; a registry of its own."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.runs = Counter("analytics_job_runs", "Runs of a job", ["job", "outcome"], registry=self.registry)
        self.seconds = Histogram("analytics_job_seconds", "Duration of a job", ["job"], registry=self.registry)
        self.last = Gauge(
            "analytics_job_last_success", "Unix time of the last success", ["job"], registry=self.registry
        )
        self.requests = Counter("analytics_http_requests", "Requests", ["method", "status"], registry=self.registry)
        self.busy = Gauge("analytics_engines_busy", "Read-only engines that answer a question", registry=self.registry)
        self.large = Gauge(
            "analytics_large_statements", "Large statements, one runs, the others wait", registry=self.registry
        )


class Counted:
    """Counts answers by method and status."""

    def __init__(self, app: ASGIApp, requests: Counter) -> None:
        self.app, self.requests = app, requests

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        method = scope["method"] if scope["method"] in METHODS else "other"

        async def counting(message: Message) -> None:
            if message["type"] == "http.response.start":
                self.requests.labels(method, str(message["status"])).inc()
            await send(message)

        await self.app(scope, receive, counting)


class Service:
    """Owner of one data folder. Opened in a lifespan: store, readers, jobs; closed in the reverse order."""

    def __init__(
        self,
        data_dir: Path,
        policy: PrivacyPolicy | None,
        *,
        zone: str = "UTC",
        public: bool = False,
        memory: int = ENGINE_BYTES,
        store_url: str | None = None,
    ) -> None:
        """`memory`: bytes that the embedded engine may take, all questions and jobs together. `store_url`: a
        ClickHouse server instead of it. Raises StoreInUse, UserError, StoreUnavailable."""
        self.data_dir, self.policy, self.zone, self.store_url = data_dir, policy, zone, store_url
        self._alone = only_service(data_dir) if store_url else None
        self.access = Access(data_dir)
        self.guard = Guard(self.access, public=public)
        self.meters = Meters()
        self.ready = False
        self._tasks: list[asyncio.Task[None]] = []
        # A thread for each job: they never stand in a queue behind the questions of analysts.
        self._workers = ThreadPoolExecutor(len(JOBS), thread_name_prefix="job")
        self._tmp_before = os.environ.get("TMPDIR"), tempfile.tempdir
        self._tmp = private_tmp(data_dir)
        try:
            with _allocator():
                self.store = open_store(store_url, data_dir, memory=memory)
        except BaseException:
            self._leave_tmp()
            raise
        purge_tmp(self._tmp)
        try:
            pool = Pool(lambda: open_store(store_url, data_dir, mode="ro"))
        except BaseException:
            self.store.close()
            self._leave_tmp()
            raise
        self.reporting = Reporting(pool, data_dir, policy, zone=zone)
        self.meters.busy.set_function(lambda: pool.busy)
        self.meters.large.set_function(lambda: len(pool.turns))
        give_back()
        self.workplace = jobs.Workplace(self.store, data_dir, policy, self.reporting, store_url)

    def app(self) -> Starlette:
        api = Api(self.reporting, self.guard)
        dashboard = Dashboard(api, self.guard)
        routes = [
            Route("/healthz", self._healthz),
            Route("/readyz", self._readyz),
            Route("/metrics", self._metrics),
            *Relay(self.data_dir, self.guard, self.store_url).routes(),
            *api.routes(),
            *dashboard.routes(),
        ]
        counted = Middleware(Counted, requests=self.meters.requests)
        return Starlette(
            routes=routes,
            lifespan=self._lifespan,
            middleware=[counted, Middleware(StopsWithReader)],
            exception_handlers={404: dashboard.nothing_here},
        )

    @contextlib.asynccontextmanager
    async def _lifespan(self, app: Starlette) -> AsyncIterator[None]:
        # Whoever stands in the queue for an engine holds a thread meanwhile.
        asyncio.get_running_loop().set_default_executor(ThreadPoolExecutor(READERS, thread_name_prefix="reader"))
        self._tasks = [asyncio.create_task(self._repeat(job), name=job.what) for job in JOBS]
        self.ready = True
        try:
            yield
        finally:
            self.ready = False
            for task in self._tasks:
                task.cancel()
            await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _repeat(self, job: Job) -> None:
        """Run a job for ever; a failure is logged and counted, and waited out. A running one is never cut off."""
        pause = job.every
        while True:
            loop = asyncio.get_running_loop()
            running = asyncio.ensure_future(loop.run_in_executor(self._workers, job.function, self.workplace))
            started = time.monotonic()
            try:
                await asyncio.shield(running)
                self.meters.runs.labels(job.what, "done").inc()
                self.meters.last.labels(job.what).set_to_current_time()
                pause = job.every
            except asyncio.CancelledError:
                with contextlib.suppress(Exception):
                    await running
                raise
            except Exception:
                log.exception("could not %s", job.what)
                self.meters.runs.labels(job.what, "failed").inc()
                pause = min(max(pause * 2, 5.0), 300.0)
            self.meters.seconds.labels(job.what).observe(time.monotonic() - started)
            await asyncio.sleep(pause)

    def close(self) -> None:
        self._workers.shutdown()
        self.reporting.close()
        self.store.close()
        self._leave_tmp()
        if self._alone is not None:
            self._alone.close()

    def _leave_tmp(self) -> None:
        """What else this process does finds the place for temporary files that it had before."""
        before, tempfile.tempdir = self._tmp_before
        os.environ.pop("TMPDIR", None)
        if before is not None:
            os.environ["TMPDIR"] = before
        shutil.rmtree(self._tmp, ignore_errors=True)

    async def _healthz(self, request: Request) -> Response:
        return PlainTextResponse("ok\n")

    async def _readyz(self, request: Request) -> Response:
        try:
            await asyncio.to_thread(self.reporting.pool.query, "SELECT 1")
        except Exception as error:
            return refuse(503, f"the store does not answer: {error}")
        return reply({"ready": self.ready}, 200 if self.ready else 503)

    async def _metrics(self, request: Request) -> Response:
        grant = self.guard.grant(request)
        if grant is None or grant.role == LINK:
            return refuse(401, "metrics need a token: send it as `Authorization: Bearer KEY`")
        return Response(generate_latest(self.meters.registry), media_type="text/plain; version=0.0.4")


@contextlib.contextmanager
def _allocator() -> Iterator[None]:
    """While the engine's library is loaded; what an operator set holds, and no other process inherits ours."""
    name, value = ALLOCATOR
    if name in os.environ:
        yield
        return
    os.environ[name] = value
    try:
        yield
    finally:
        del os.environ[name]


def only_service(data_dir: Path) -> IO[str]:
    """The lock on a data folder whose store is a server's; the embedded engine brings its own. Raises StoreInUse."""
    data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
    lock = (data_dir / "service.lock").open("a", encoding="utf-8")
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        lock.close()
        raise StoreInUse(f"{data_dir}: another `analytics serve` works on this data folder; stop it first") from None
    return lock


def private_tmp(data_dir: Path) -> Path:
    """A TMPDIR of our own: the engine keeps visit rows in its temporary files, and a kill leaves them behind."""
    folder = data_dir / "tmp" / str(os.getpid())
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    os.environ["TMPDIR"] = str(folder)
    tempfile.tempdir = str(folder)
    return folder


def purge_tmp(folder: Path) -> None:
    """Remove what earlier owners of the data folder left; called once its lock is ours."""
    for other in folder.parent.iterdir():
        if other != folder:
            shutil.rmtree(other, ignore_errors=True)
