"""One ``events`` partition of this worker: its user state, and the order of its effects.

The partition's task takes it over (fence, restore, scan), then applies runs of records and appends
their signals block at once; nothing there waits for Kafka.  The checkpoint task, at an interval, cuts
what is in memory (dirty blocks, runs held, signals on their way) while nothing is applied to this
partition, waits until those signals are acknowledged, writes the blocks in one fenced transaction, and
only then acknowledges the runs, so that their offsets may be committed.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from contextlib import suppress
from itertools import compress
from time import perf_counter
from typing import NamedTuple

from models.users.applied import Applied
from models.users.blocks import Captured
from models.users.shard import UserShard
from schemas.errors import FencedError, IncarnationError, UnavailableError
from schemas.events import DECISION_START, AnyEvent, LoggedEvent, Request, Tick, encode_event
from schemas.heartbeats import Heartbeat
from schemas.recommendations import Recommendation
from schemas.settings import Settings
from schemas.signals import Int64
from streams.crash import CrashPoint, Step
from streams.deadletters import DeadLetters
from streams.decoding import decoded
from streams.kafka import patiently
from streams.learner import Turn
from streams.observer import StreamObserver
from streams.pace import Pace
from streams.ports import EngineLike
from streams.rows import Rows
from streams.runs import MAX_RUNS, Runs
from streams.scan import Scan, scan
from streams.signals import SignalsWriter
from streams.state_store import Checkpoint, Restored, StateStore, restore, take_over
from streams.transport import Record, RecordBatch, mark_of
from streams.triggers import Trigger, TriggerQueue, trigger_of
from streams.writer import LogWriter, Outgoing

RECORDS_AT_ONCE = 2000
CUT_SLICES = 10
"""A cut holds its partition still: so many slices of it follow each other before others have their turn."""
ECHO_SECONDS = 0.05
"""How long our own decisions, read back, wait for a run that is urgent."""
IDLE_SECONDS = 5.0


def is_echo(batch: RecordBatch) -> bool:
    """Whether a run holds decisions alone: nobody waits for what they change.

    Examples
    --------
    >>> from types import SimpleNamespace as Record
    >>> is_echo(RecordBatch("events", 0, [Record(value=encode_event(Tick(ts=0)))]))
    False
    """
    return all((record.value or b"").startswith(DECISION_START) for record in batch.records)


class Delivered(NamedTuple):
    """A run, how to acknowledge it, when it came, ms, the bytes that it takes, and ``is_echo`` of it."""

    batch: RecordBatch
    acknowledge: Callable[[], None]
    came: float
    size: int
    echo: bool


class Cut(NamedTuple):
    """Everything that one checkpoint makes durable: one state."""

    held: list[Callable[[], None]]
    signals: "list[asyncio.Future[None]]"
    rewrite: dict[int, bytes]
    captured: list[tuple[int, Captured]]
    checkpoint: Checkpoint


class Tools(NamedTuple):
    """What all partitions of a worker share."""

    settings: Settings
    engine: EngineLike
    turn: Turn
    events: LogWriter
    state: LogWriter
    signals: SignalsWriter
    letters: DeadLetters
    queue: TriggerQueue
    beat: Callable[[Heartbeat], Awaitable[bool]]
    publish: Callable[[int, list[Recommendation]], None]
    pace: Pace
    observer: StreamObserver
    clock: Callable[[], int]
    crash: CrashPoint


class Partition:
    """State and tasks of one partition in one generation of the group; the next takes over again."""

    def __init__(self, number: int, tools: Tools) -> None:
        self.number = number
        self.shard: UserShard | None = None
        self.ready = asyncio.Event()
        self._owned = True
        self._tools = tools
        self._runs: Runs[Delivered] = Runs()
        self._news = asyncio.Event()
        self._open: dict[str, int] = {}
        self._held: list[Callable[[], None]] = []
        self._store: StateStore | None = None
        self._rewrite: dict[int, bytes] = {}
        self._written: set[int] = set()  # blocks
        self._scan = Scan(0, [], [])
        self._undecided: list[Trigger] = []
        self._candidates: dict[int, Trigger] = {}
        self._applied = self._delivered = -1
        self._incarnation = 0
        self._rows = Rows(
            number, tools.engine, tools.turn, tools.pace, tools.signals, tools.observer, self._pass_on
        )
        self._mark = ""
        self._came = 0.0  # when what is being applied came, ms
        self._writing = asyncio.Lock()
        self._still = asyncio.Lock()  # held while the state must not change
        self._heard = perf_counter()

    # -- what the agent and the lists call

    async def take(self, delivered: Delivered) -> None:
        """Queue a run; waits only while 64 runs or 16 MiB are waiting."""
        await self._runs.put(delivered)
        if len(self._runs) > MAX_RUNS // 2 or not delivered.echo:
            self._news.set()

    def published(self, trigger_id: str) -> None:
        """The list for a trigger is acknowledged: it is not open any more."""
        self._open.pop(trigger_id, None)

    def owned(self) -> bool:
        """Whether the partition is ours; may change while something is awaited."""
        return self._owned

    def release(self) -> None:
        """The partition is no longer ours: touch nothing of it again."""
        self._owned = False

    async def close(self) -> None:
        """Let go of the store."""
        if self._store is not None:
            await self._store.stop()

    # -- the partition's tasks

    async def run(self) -> None:
        """Take over, then apply what comes."""
        await self._take_over()
        while self.owned():
            delivered = await self._runs.get()
            self._heard = perf_counter()
            if delivered.echo:
                await self._news_within(ECHO_SECONDS)
            await self._tools.queue.room()
            await self._tools.letters.room()
            await self._tools.signals.room()
            self._came = delivered.came
            async with self._still, self._tools.pace.heavy():
                if self.owned() and self.shard is not None:
                    self._apply(self._take_waiting(delivered), self.shard)
            if self._rows.enough:
                await self._rows.append()

    async def rows(self) -> None:
        """Append the rows of what was applied, a moment later."""
        await self.ready.wait()
        await self._rows.run(self.owned)

    async def checkpoints(self) -> None:
        """Write a checkpoint at each interval; no two partitions at the same moment of it."""
        await self.ready.wait()
        seconds, count = self._tools.settings.users.checkpoint_seconds, self._tools.settings.kafka.partitions
        await asyncio.sleep(seconds * (self.number % count) / count)
        while self.owned():
            await asyncio.sleep(seconds)
            await self.checkpoint()

    async def ticks(self) -> None:
        """Append the time while the partition is idle, so that windows close by records."""
        await self.ready.wait()
        while self.owned():
            await asyncio.sleep(IDLE_SECONDS)
            if self.owned() and perf_counter() - self._heard >= IDLE_SECONDS:
                now = self._tools.clock()
                await self._tools.events.put(
                    self.number, [Outgoing(None, encode_event(Tick(ts=now)), timestamp=now)]
                )

    async def heartbeats(self) -> None:
        """Send a heartbeat through every stage at each interval, beginning at intake."""
        period = self._tools.settings.health.heartbeat_seconds
        if not period:
            return
        await self.ready.wait()
        while self.owned():
            if not await self._tools.beat(Heartbeat(self.number, self._tools.clock())):
                return
            await asyncio.sleep(period)

    # -- takeover

    async def _take_over(self) -> None:
        started = perf_counter()
        tools, kafka = self._tools, self._tools.settings.kafka
        self._store = await patiently(lambda: take_over(kafka, self.number, tools.state))
        restored = await patiently(lambda: restore(kafka, self.number))
        self._scan = await patiently(
            lambda: scan(tools.settings, self.number, restored.checkpoint, self._trigger)
        )
        await self._load(restored)
        if not self.owned():  # released meanwhile: what follows is its next owner's
            await self.close()
            return
        self._undecided = [t for t in self._scan.undecided if t.offset <= self._applied]
        self._candidates = {t.offset: t for t in self._scan.undecided if t.offset > self._applied}
        self._open = {t.trigger_id: t.offset for t in self._undecided}
        self._open |= dict.fromkeys((d.trigger_id for d in self._scan.decided), self._decide_from(restored))
        if self._scan.superseded:
            tools.observer.on_shed("superseded", self._scan.superseded)
        if self._scan.decided:
            tools.publish(self.number, self._scan.decided)
        self.ready.set()
        if self._applied + 1 >= self._scan.end:
            self._release_undecided()
        tools.observer.on_takeover(
            self.number, len(restored.blocks), len(self._scan.undecided), perf_counter() - started
        )

    async def _load(self, restored: Restored) -> None:
        checkpoint = restored.checkpoint
        self._incarnation = 0 if checkpoint is None else checkpoint.incarnation
        shard = self._tools.engine.open_shard(self.number, self._incarnation)
        if checkpoint is not None:
            shard.load_checkpoint(checkpoint.shard)
            await self._tools.pace.sliced(self._blocks_into(shard, restored))
            self._rewrite = {n: restored.blocks[n] for n in restored.unfinished}
            self._written = set(restored.blocks)
            self._applied, self._mark = checkpoint.applied, checkpoint.mark
            self._rows.cover = checkpoint.cover
        self.shard = shard

    def _blocks_into(self, shard: UserShard, restored: Restored) -> Iterator[int]:
        for _, block in sorted(restored.blocks.items()):
            yield shard.load_block(block)

    def _decide_from(self, restored: Restored) -> int:
        return 0 if restored.checkpoint is None else restored.checkpoint.decide_from

    def _release_undecided(self) -> None:
        """The replay is over: what the log shows without a decision is decided now."""
        undecided, self._undecided = self._undecided, []
        for trigger in undecided:
            self._tools.queue.put(trigger.renewed(self._tools.clock()))

    # -- applying

    async def _news_within(self, seconds: float) -> None:
        """Wait for a run that asks for something; those with our own decisions are applied with it."""
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._news.wait()

    def _take_waiting(self, delivered: Delivered) -> list[Record]:
        """New records of a run and of those that have come behind it: many small ones cost like one."""
        records = list(self._admit(delivered))
        while len(records) < RECORDS_AT_ONCE and len(self._runs):
            records += self._admit(self._runs.get_nowait())
        if not len(self._runs):
            self._news.clear()
        return records

    def _admit(self, delivered: Delivered) -> list[Record]:
        self._refuse_gap(delivered.batch)
        self._held.append(delivered.acknowledge)
        records = delivered.batch.records
        if records[0].offset > self._applied:
            return records
        return [r for r in records if r.offset > self._applied]

    def _apply(self, records: list[Record], shard: UserShard) -> None:
        if not records:
            return
        started = perf_counter()
        events, offsets, times = self._decode(records)
        if events:
            applied = self._tools.engine.apply(shard, events, offsets, broker_ts=times)
            beat = max((e.beat for e in events if isinstance(e, Tick)), default=0)
            self._rows.add(applied, records[-1].offset, beat)
            self._trigger_lists(applied, offsets, times)
        self._applied, self._mark = records[-1].offset, mark_of(records[-1])
        if self._undecided and self._applied + 1 >= self._scan.end:
            self._release_undecided()
        self._tools.observer.on_applied(self.number, len(events), perf_counter() - started)
        self._tools.crash(Step.APPLIED)

    def _refuse_gap(self, batch: RecordBatch) -> None:
        """A run must follow the one before it, or what is applied: anything else is a hole."""
        before = batch.follows if batch.follows is not None else batch.records[0].offset - 1
        expected = max(self._delivered, self._applied)
        if before > expected:
            raise IncarnationError(
                f"{batch.topic}/{self.number}: delivered from {before + 1}, but only {expected} is applied: "
                "where the state topic was lost, set the group's offset in this topic to the earliest, and "
                "all of it is folded again"
            )
        self._delivered = batch.last_offset

    def _decode(self, records: list[Record]) -> tuple[list[LoggedEvent], Int64, Int64]:
        events, offsets, times, letters = decoded(records)
        if letters:
            self._rows.landing.append(self._tools.letters.put(letters, "users"))
            for letter in letters:
                self._tools.observer.on_dead_letter("users", type(letter.error).__name__)
        return events, offsets, times

    def _pass_on(self, ts: int, to: int, landed: "asyncio.Future[None]") -> None:
        """A heartbeat was applied and its block is on its way; readers get no replayed one."""
        tools, topic = self._tools, self._tools.events.topic
        tools.observer.on_heartbeat("users", topic, self.number, ts)

        def told(done: "asyncio.Future[None]") -> None:
            if not done.cancelled() and done.exception() is None:
                tools.observer.on_heartbeat("signals", topic, self.number, ts)

        landed.add_done_callback(told)
        if to >= self._scan.end:
            tools.queue.beat(self.number, ts)

    def _trigger_lists(self, applied: Applied, offsets: Int64, times: Int64) -> None:
        """Queue the lists that newly applied events ask for; repeats ask for nothing."""
        pushes, replayed = self._tools.settings.lists.publish == "always", self._applied + 1 < self._scan.end
        if not (pushes or replayed or any(type(e) is Request for e in applied.events)):
            return
        arrived = dict(zip(offsets.tolist(), times.tolist(), strict=True))
        run = zip(applied.events, applied.offsets.tolist(), strict=True)
        for event, offset in compress(run, applied.accepted.tolist()):
            if offset < self._scan.end:
                self._confirm(offset)
                continue
            trigger = self._trigger(event, offset, arrived[offset])
            if trigger is not None:
                self._open[trigger.trigger_id] = offset
                self._tools.queue.put(trigger)

    def _confirm(self, offset: int) -> None:
        """A replayed event was new: if the log shows no decision for it, it waits for the replay's end."""
        trigger = self._candidates.pop(offset, None)
        if trigger is not None:
            self._open[trigger.trigger_id] = offset
            self._undecided.append(trigger)

    def _trigger(self, event: AnyEvent, offset: int, arrived: int) -> Trigger | None:
        lists = self._tools.settings.lists
        return trigger_of(
            event,
            self.number,
            offset,
            arrived=arrived,
            since=self._came,
            deadline_ms=lists.deadline_ms,
            pushes=lists.publish == "always",
        )

    # -- checkpoints

    async def checkpoint(self) -> None:
        """Cut, wait for the signals of the cut, write, acknowledge."""
        async with self._writing:
            if self.shard is None or not (self._held or self._rewrite):
                return
            async with self._still:
                cut = await self._cut(self.shard)
            if not self.owned():
                return
            started = perf_counter()
            encoding = ((n, captured.encode()) for n, captured in cut.captured)
            blocks = cut.rewrite | dict(await self._tools.pace.sliced(encoding))
            for future in cut.signals:
                await future
            self._tools.crash(Step.SIGNALS_LANDED)
            self._tools.crash(Step.CHECKPOINT_OPEN)
            if not await self._write(blocks, cut.checkpoint):
                return
            self._tools.crash(Step.CHECKPOINT_WRITTEN)
            for acknowledge in cut.held:
                acknowledge()
            size = sum(map(len, blocks.values()))
            self._tools.observer.on_checkpoint(self.number, len(blocks), size, perf_counter() - started)
            self._tools.crash(Step.ACKNOWLEDGED)

    async def _write(self, blocks: dict[int, bytes], checkpoint: Checkpoint) -> bool:
        """Write the sweep; False if the partition went to somebody else before or meanwhile."""
        if not self.owned() or self._store is None:
            return False
        try:
            await self._store.write(blocks, checkpoint)
        except (FencedError, UnavailableError):
            if not self.owned():  # the group had told us already: the new owner goes on from the former sweep
                return False
            raise
        return self.owned()

    async def _cut(self, shard: UserShard) -> Cut:
        """A slice at a time, while nothing is applied: what is written is what is held."""
        if self.owned():
            await self._rows.append()
        dirty = shard.dirty_blocks()
        pace = self._tools.pace
        captured = await pace.sliced(((n, shard.capture_block(n)) for n in dirty), at_once=CUT_SLICES)
        held, self._held = self._held, []
        signals, self._rows.landing = self._rows.landing, []
        rewrite, self._rewrite = self._rewrite, {}
        self._written.update(dirty)
        checkpoint = Checkpoint(
            applied=self._applied,
            mark=self._mark,
            incarnation=self._incarnation,
            cover=self._rows.cover,
            open=tuple(sorted(set(self._open.values()))),
            shard=shard.encode_checkpoint(),
            blocks=len(self._written),
        )
        return Cut(held, signals, rewrite, captured, checkpoint)
