"""The auditor: reads ``signals``, keeps the experiment's books, reports, and orders the rollback.

A process of its own with no group: it reads the one partition from its snapshot, or from the beginning,
to the end, and only then begins to judge.  So after any crash it has seen its own former orders before
it could give one again; an order that is repeated all the same changes nothing, because switches are
compare-and-set on the policy epoch.
"""

import asyncio
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import aclosing
from pathlib import Path
from typing import Any, Protocol, cast

import msgspec

from models.causal.ledger import Ledger
from models.causal.verdict import Plan, check, order
from models.fold import FoldLog
from schemas.control import PolicySwitch
from schemas.errors import CorruptBlockError
from schemas.reports import CausalReport
from schemas.settings import Settings
from schemas.signals import Kind, SignalBlock
from schemas.snapshots import Buffer
from schemas.topics import Topic, topic_name
from streams.kafka import connect, idempotent_producer
from streams.learner import Snapshots
from streams.partitions import partitions_soon
from streams.signals import Located, SignalsTail, SignalsWriter
from streams.tasks import closed
from streams.writer import LogWriter, Outgoing


class AuditObserver(Protocol):
    """Told what the auditor does; must be quick and must not raise."""

    def on_folded(self, rows: int, lag: int) -> None:
        """A run of blocks with ``rows`` exposures and rewards was counted; ``lag`` blocks are left."""

    def on_corrupt(self, offset: int, reason: str) -> None:
        """A record of ``signals`` is no block; if it was one, its cover is missed and the fold stops."""

    def on_report(self, report: CausalReport) -> None:
        """A report was made."""

    def on_switch(self, row: PolicySwitch) -> None:
        """The safe policy was ordered."""

    def on_snapshot_refused(self, reason: str) -> None:
        """A snapshot could not be used; an older one or the whole log is read instead."""

    def on_snapshot_failed(self, reason: str) -> None:
        """A snapshot could not be written; the next audit tries again."""

    def on_heartbeat(self, stage: str, topic: str, partition: int, ts: int) -> None:
        """A block with a heartbeat that set out at ``ts`` was counted."""


class NullAuditObserver:
    """Listens to nothing."""

    def on_folded(self, rows: int, lag: int) -> None:
        """Ignore."""

    def on_corrupt(self, offset: int, reason: str) -> None:
        """Ignore."""

    def on_report(self, report: CausalReport) -> None:
        """Ignore."""

    def on_switch(self, row: PolicySwitch) -> None:
        """Ignore."""

    def on_snapshot_refused(self, reason: str) -> None:
        """Ignore."""

    def on_snapshot_failed(self, reason: str) -> None:
        """Ignore."""

    def on_heartbeat(self, stage: str, topic: str, partition: int, ts: int) -> None:
        """Ignore."""


class Books:
    """The ledger behind cover dedup: each row counts once, a gap stops.

    Parameters
    ----------
    settings
        Experiment and audit: who is compared, at which levels.
    """

    def __init__(self, settings: Settings) -> None:
        audit = settings.audit
        self.ledger = Ledger(settings.experiment.name, audit.max_persons)
        self.plan = Plan(
            holdout=settings.experiment.holdout,
            alphas={Kind.CLICK: audit.alpha_click, Kind.PURCHASE: audit.alpha_purchase},
            alpha_srm=audit.alpha_srm,
            min_events=audit.min_events,
            margin=audit.margin,
        )
        self._log = FoldLog([self.ledger], keep_holdout=True)

    def learn(self, block: SignalBlock) -> None:
        """Count a block."""
        self._log.learn(block)

    def snapshot(self) -> bytes:
        """Ledger and high-waters."""
        return self._log.snapshot()

    def restore(self, data: Buffer) -> None:
        """Become what ``snapshot`` wrote."""
        self._log.restore(data)


class Auditor:
    """Checks one experiment at a period.

    Parameters
    ----------
    settings
        Of the deployment; ``audit.directory`` holds the snapshots.
    dry_run
        Read and judge, write nothing: no report, no order, no snapshot.
    """

    def __init__(
        self, settings: Settings, *, observer: AuditObserver | None = None, dry_run: bool = False
    ) -> None:
        self._settings = settings
        self._observer = observer or NullAuditObserver()
        self._dry_run = dry_run
        self._books = Books(settings)
        self._snapshots = Snapshots(Path(settings.audit.directory), settings.kafka.namespace)
        self._ordered = -1
        self._audited = -1
        self._next = 0

    async def run(self, stop: asyncio.Event) -> None:
        """Audit at the period until ``stop``.

        Raises
        ------
        CoverGapError, IncarnationError
            The log has a hole or is another one: nothing is concluded from it.
        UnavailableError
            The broker does not answer, or an order could not be written.  Start again: the log tells
            whether it landed.
        """
        await self._follow(stop.is_set, period=self._settings.audit.period_seconds)

    async def once(self) -> tuple[CausalReport, ...]:
        """Read the log to its present end, audit once, and return the reports."""
        reports: list[CausalReport] = []

        def done() -> bool:
            return bool(reports)

        await self._follow(done, period=0.0, into=reports)
        return tuple(reports)

    async def _follow(
        self, done: Callable[[], bool], *, period: float, into: list[CausalReport] | None = None
    ) -> None:
        await partitions_soon(self._settings.kafka, Topic.SIGNALS)
        self._restore()
        clock = asyncio.get_running_loop().time
        tail = SignalsTail(self._settings.kafka, self._next)
        producer = idempotent_producer(self._settings.kafka)
        await connect(producer)
        out = _Out(producer, self._settings)
        due, goal = 0.0, -1
        try:
            async with aclosing(cast("AsyncGenerator[list[Located]]", tail.blocks())) as runs:
                async for run in runs:
                    goal = tail.end if goal < 0 else goal  # where the log ended when we came
                    self._fold(run, tail)
                    if self._next >= goal and clock() >= due:
                        made = await self._audit(out)
                        if into is not None:
                            into.extend(made)
                        due = clock() + period
                    if done():
                        return
        finally:
            await out.stop()
            await closed(producer.stop())

    def _restore(self) -> None:
        self._next, refused = self._snapshots.newest(self._books)
        for reason in refused:
            self._observer.on_snapshot_refused(reason)

    def _fold(self, run: Sequence[Located], tail: SignalsTail) -> None:
        rows = 0
        for located in run:
            self._next = located.offset + 1
            try:
                block = located.block()
            except CorruptBlockError as error:
                self._observer.on_corrupt(located.offset, str(error))
                continue
            self._books.learn(block)
            if block.beat and block.cover is not None:
                self._observer.on_heartbeat("auditor", tail.events, block.cover.partition, block.beat)
            rows += len(block.exposures) + len(block.rewards)
        self._observer.on_folded(rows, max(0, tail.end - self._next))

    async def _audit(self, out: "_Out") -> tuple[CausalReport, ...]:
        """Judge what has been read; the order goes out before the report that explains it."""
        ledger = self._books.ledger
        reports = check(ledger, self._books.plan, self._next - 1)
        if self._next == self._audited:
            return reports
        for report in reports:
            self._observer.on_report(report)
        row = order(ledger, reports) if ledger.epoch > self._ordered else None
        if not self._dry_run:
            if row is not None:
                await out.signals.control((row,))
                self._ordered = row.from_epoch
                self._observer.on_switch(row)
            await out.report(reports)
            self._keep()
        self._audited = self._next
        return reports

    def _keep(self) -> None:
        """Write a snapshot; without one a restart reads more of the log, and the audits go on."""
        try:
            self._snapshots.write(self._next, self._books.snapshot())
        except OSError as error:
            self._observer.on_snapshot_failed(f"audit.directory: {self._settings.audit.directory}: {error}")


class _Out:
    """Where orders and reports go."""

    def __init__(self, producer: Any, settings: Settings) -> None:
        namespace = settings.kafka.namespace
        self._reports = LogWriter(producer, topic_name(Topic.CAUSAL_REPORTS, namespace))
        self._orders = LogWriter(producer, topic_name(Topic.SIGNALS, namespace))
        self.signals = SignalsWriter(self._orders)

    async def report(self, reports: Sequence[CausalReport]) -> None:
        records = [Outgoing(r.experiment.encode(), msgspec.json.encode(r)) for r in reports]
        await self._reports.put(0, records)

    async def stop(self) -> None:
        await self._reports.stop()
        await self._orders.stop()
