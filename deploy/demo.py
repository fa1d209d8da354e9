"""The whole product on this machine: broker, stream, page, encoder, auditor, and a shop full of people."""

import asyncio
import importlib.util
import time
from collections.abc import Callable
from contextlib import ExitStack, suppress
from pathlib import Path

import msgspec
from aiokafka import AIOKafkaConsumer, TopicPartition

from deploy.embedded.broker import EmbeddedBroker
from deploy.embedded.compat import install
from deploy.health import checks_of
from deploy.process import COMPILING, free_port
from deploy.simulator.build import ShopOptions, build
from deploy.simulator.drive import Drive, count_records
from deploy.simulator.report import Report
from deploy.simulator.watch import close, reached, watch
from deploy.supervisor import Supervisor
from schemas.errors import UnavailableError
from schemas.reports import CausalReport
from schemas.settings import ExperimentSettings, Settings
from schemas.topics import Topic, topic_name
from streams.connection import consumer_options
from streams.kafka import connect
from streams.provision import provision
from streams.tasks import closed

FIRST_LIST_SECONDS = 300.0
"""From compiled kernels on; a machine at rest needs a few."""

DEMO_HOLDOUT = 0.2
DEMO_PARTITIONS, DEMO_LINGER_MS = 2, 8
"""The embedded broker grows slower with every batch that a partition holds: fewer, fuller batches."""
Say = Callable[[str], None]


class DemoOptions(msgspec.Struct, frozen=True, kw_only=True):
    """How the demo is run.

    Parameters
    ----------
    seconds
        How long the shop stays open; None: until stopped.
    port
        Of the page; the next free one if taken.
    directory
        Of the run: settings, logs, snapshots.
    """

    seconds: float | None
    port: int
    directory: Path
    shop: ShopOptions


def demo_settings(base: Settings, options: DemoOptions, broker: EmbeddedBroker) -> Settings:
    """The user's settings with what the demo decides: where things are, and a clock that runs faster.

    A simulated day takes seconds, so a check of the experiment comes every 5 s; every decision logs its
    whole context; a fifth of the people are held out, so that there is something to compare.
    """
    replace = msgspec.structs.replace
    kafka = replace(base.kafka, **broker.settings(), partitions=DEMO_PARTITIONS, linger_ms=DEMO_LINGER_MS)
    given = base.experiment.holdout
    holdout = DEMO_HOLDOUT if given == ExperimentSettings().holdout else given
    return replace(
        base,
        kafka=kafka,
        policy=replace(base.policy, context_share=1.0),
        experiment=replace(base.experiment, holdout=holdout),
        learner=replace(base.learner, directory=str(options.directory / "snapshots")),
        audit=replace(base.audit, directory=str(options.directory / "audit"), period_seconds=5.0),
        api=replace(base.api, port=free_port(options.port, host=base.api.host)),
    )


def absent_roles() -> dict[str, str]:
    """Roles whose extra is not installed."""
    needs = {"encode": ("torch", "encoder"), "api": ("litestar", "api")}
    return {
        role: f"not installed: pip install 'streamwise[{extra}]'"
        for role, (module, extra) in needs.items()
        if importlib.util.find_spec(module) is None
    }


async def run(base: Settings, options: DemoOptions, stop: asyncio.Event, *, say: Say, line: Say) -> Report:
    """Run the demo until ``stop`` or its seconds are over; its figures.

    Parameters
    ----------
    say
        Tells what happens, in whole lines.
    line
        Shows the live line.

    Raises
    ------
    UnavailableError
        The broker or the stream ended, or no list came.
    """
    started = time.monotonic()
    install()
    with ExitStack() as stack:
        broker = stack.enter_context(EmbeddedBroker(log=_log(options.directory, "broker")))
        settings = demo_settings(base, options, broker)
        children = stack.enter_context(Supervisor(options.directory, settings, broker))
        await provision(settings)
        metrics_port = free_port(settings.api.port + 1, host=settings.api.host)
        children.start("stream", STREAMWISE_API__METRICS_PORT=str(metrics_port))
        absent = absent_roles()
        if "api" not in absent:
            children.start("api")
            say(f"live page: http://{settings.api.host}:{settings.api.port}/")
        say(f"metrics of the stream: http://{settings.api.host}:{metrics_port}/metrics")
        for role, why in absent.items():
            say(f"{role}: {why}")
        demo = Demo(settings, options, children, absent, started)
        await demo.kernels(metrics_port, stop, say=say)
        return await demo.run(stop, say=say, line=line)


class Demo:
    """The shop among running roles."""

    def __init__(
        self,
        settings: Settings,
        options: DemoOptions,
        children: Supervisor,
        absent: dict[str, str],
        started: float,
    ) -> None:
        self.settings, self.options, self.children = settings, options, children
        self.absent = absent
        self.started = started
        self.stocked = build(options.shop)
        self.drive = Drive(settings.kafka, self.stocked.shop)
        self.first_list: float | None = None
        self.ended: dict[str, str] = {}
        self.told: set[str] = set()

    async def kernels(self, port: int, stop: asyncio.Event, *, say: Say) -> None:
        """Wait until the stream has compiled its kernels: seconds, but the first time minutes."""
        told = False
        while not stop.is_set():
            self._revived(say)
            checks = await asyncio.to_thread(checks_of, self.settings.api.host, port)
            if checks.get("kernels") == "ok":
                return
            if checks and not told:
                told = True
                say(COMPILING)
            await asyncio.sleep(0.25)

    async def run(self, stop: asyncio.Event, *, say: Say, line: Say) -> Report:
        """Open the shop; watch it and the roles."""
        shop = asyncio.create_task(
            self.drive.run(self.stocked.items(), since=self.stocked.since, patience=FIRST_LIST_SECONDS)
        )
        try:
            if await reached(self.drive.answered, shop, stop, lambda: self._revived(say)):
                self.first_list = time.monotonic() - self.started
                say(f"first list after {self.first_list:.1f} s")
            opened = None
            if await reached(self.drive.opened, shop, stop, lambda: self._revived(say)):
                opened = time.monotonic()
                self._start_the_rest()
                ledger, seconds = self.stocked.shop.ledger, self.options.seconds
                await watch(ledger, shop, stop, seconds=seconds, line=line, check=lambda: self._check(say))
            return await self._report(opened)
        finally:
            await close(shop)

    def _start_the_rest(self) -> None:
        """What lists do not wait for: torch above all."""
        for role in ("audit", "encode"):
            if role not in self.absent:
                self.children.start(role)

    def _needed(self) -> None:
        """Raise for the roles without which there is nothing to show."""
        gone = self.children.ended()
        for role in ("broker", "stream"):
            if role in gone:
                raise UnavailableError(f"{role} {gone[role]} (see {self.children.log(role)})")

    def _revived(self, say: Say) -> None:
        """Start again what its watchdog has ended, and raise for what is needed and gone."""
        for role, why in self.children.revive().items():
            say(f"{role} started again: {why}")
        self._needed()

    def _check(self, say: Say) -> None:
        self._revived(say)
        for role, why in self.children.ended().items():
            if role not in self.ended:
                say(f"{role} {why}")
                self.ended[role] = why
        for report in self.drive.verdicts.values():
            if report.verdict == "rollback" and report.action not in self.told:
                self.told.add(report.action)
                say(f"auditor: rollback: {report.action}")

    async def _report(self, opened: float | None) -> Report:
        ledger, now = self.stocked.shop.ledger, time.monotonic()
        reports = await read_reports(self.settings)
        return Report(
            seconds=round(now - (opened or now), 3),
            first_list_seconds=self.first_list,
            events=ledger.events(),
            lists=ledger.lists,
            sessions=ledger.sessions,
            unanswered=ledger.unanswered,
            p50_ms=ledger.percentile(50),
            p99_ms=ledger.percentile(99),
            click_rate=ledger.rates(),
            dead_letters=await count_records(self.settings.kafka, Topic.DEAD_LETTERS, 1),
            rungs=dict(ledger.rungs),
            checks=len(reports),
            verdicts={report.metric: report.verdict for report in reports},
            sent=dict(ledger.sent),
            ended=self.absent | self.ended,
        )


async def read_reports(settings: Settings) -> list[CausalReport]:
    """Everything that the auditor wrote, oldest first."""
    consumer = AIOKafkaConsumer(**consumer_options(settings.kafka))
    await connect(consumer)
    try:
        place = TopicPartition(topic_name(Topic.CAUSAL_REPORTS, settings.kafka.namespace), 0)
        consumer.assign([place])
        end = (await consumer.end_offsets([place]))[place]
        found: list[CausalReport] = []
        while await consumer.position(place) < end:
            for records in (await consumer.getmany(timeout_ms=200)).values():
                for record in records:
                    with suppress(msgspec.DecodeError):  # somebody else's record
                        found.append(msgspec.json.decode(record.value or b"", type=CausalReport))
        return found
    finally:
        await closed(consumer.stop())


def _log(directory: Path, role: str) -> Path:
    directory.mkdir(parents=True, exist_ok=True)
    return directory / f"{role}.log"
