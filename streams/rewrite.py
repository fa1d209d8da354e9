"""Writing ``events`` and ``state`` anew: for another number of partitions, or from a backup.

The former partitions are merged in the order of their clocks (the broker's newest time in each), so that
a person's events keep their order and every window closes where it closed before: a fold of the new log
from its beginning is what the former state was.  Where the clock had been driven by a tick, or by
somebody who lives elsewhere now, a tick is put before the record.  Records that came twice are left out,
and the others get new coordinates: their place in the former ``events``.  Behind everything that the
former state contained stands one more tick, and the new state is said to contain all up to there; what
had been logged and not applied comes behind it and is applied by the new owners.

The new partitions are a new incarnation, whose covers begin at the beginning: rows of what the former
covers account for are not derived again.
"""

import asyncio
import heapq
from collections.abc import AsyncIterator, Iterable, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple, Protocol

import msgspec
import numpy as np

from models.users import checkpoint as shards
from models.users.people import BLOCK
from models.users.regroup import People, block_of, people_of
from schemas.errors import InvalidMessageError
from schemas.events import Decision, Event, Fact, Merge, Source, Tick, decode_event, encode_event
from schemas.ids import partition_of
from streams.state_store import CHECKPOINT_KEY, Checkpoint, Restored, block_row, encode_checkpoint
from streams.transport import mark_of
from streams.writer import LogWriter, Outgoing

Water = tuple[str, int, int, int, int]
AT_ONCE = 500
"""Records of one partition that are handed to the writer together."""


class Kept(NamedTuple):
    """A record as it was kept: what a consumer gives, or a backup."""

    offset: int
    timestamp: int
    key: bytes | None
    value: bytes | None
    headers: tuple[tuple[str, bytes], ...] = ()


class Former(Protocol):
    """The logs to be written anew.

    Attributes
    ----------
    topic
        Former name of ``events``: part of the new coordinates.
    """

    topic: str

    @property
    def numbers(self) -> Sequence[int]:
        """Its partitions."""

    async def state(self, partition: int) -> Restored:
        """Newest blocks and checkpoint of a partition."""

    def events(self, partition: int) -> AsyncIterator[Kept]:
        """Records of a partition, in order."""


class Written(NamedTuple):
    """A new partition.

    Attributes
    ----------
    length
        Records of its ``events``.
    applied, mark
        The last record that its state contains, and its checksum.
    """

    length: int
    applied: int
    mark: str
    people: int


@dataclass
class _Origin:
    """One former partition while it is read."""

    number: int
    checkpoint: Checkpoint | None
    shard: shards.Checkpoint | None
    water: dict[tuple[str, int, int], tuple[int, int]] = field(default_factory=dict)
    clock: int = 0
    behind: bool = False

    @property
    def applied(self) -> int:
        return -1 if self.checkpoint is None else self.checkpoint.applied

    @property
    def incarnation(self) -> int:
        return 0 if self.checkpoint is None else self.checkpoint.incarnation

    def is_behind(self, offset: int) -> bool:
        """Whether a record is not in the state yet; then what the state says of sources counts."""
        if not self.behind and offset > self.applied:
            self.behind = True
            for topic, partition, incarnation, at, index in self.shard.sources if self.shard else ():
                self.water[topic, partition, incarnation] = at, index
        return self.behind

    def is_repeat(self, event: Event) -> bool:
        """Whether the event's coordinates were seen before in this partition."""
        source = event.source if isinstance(event, Fact) else None
        if source is None:
            return False
        key, place = (source.topic, source.partition, source.incarnation), (source.offset, source.index)
        if place <= self.water.get(key, (-1, -1)):
            return True
        self.water[key] = place
        return False


@dataclass
class _Target:
    """One new partition while it is written."""

    number: int
    length: int = 0
    clock: int = 0
    applied: int = -1
    mark: str = ""
    pending: list[Outgoing] = field(default_factory=list)
    landing: "asyncio.Future[None] | None" = None
    waiting: dict[str, list[People]] = field(default_factory=dict)
    blocks: int = 0
    people: int = 0


class Rewriting:
    """One run of it.

    Parameters
    ----------
    former
        Where everything comes from.
    partitions
        How many there shall be.
    events, state
        Writers of the new, empty topics; nobody else writes there.
    sources
        High-waters of producers' topics that stay in force.
    now
        The clock of a deployment that has none yet, ms.

    Attributes
    ----------
    landed
        Highest source offset found in the logs, by (topic, partition, incarnation).
    """

    def __init__(
        self,
        former: Former,
        partitions: int,
        *,
        events: LogWriter,
        state: LogWriter,
        sources: Iterable[Water] = (),
        now: int,
    ) -> None:
        self._former = former
        self._events = events
        self._state = state
        self._sources = tuple(sources)
        self._targets = [_Target(q) for q in range(partitions)]
        self._origins: dict[int, _Origin] = {}
        self._places: dict[tuple[int, int], tuple[int, int]] = {}
        self._clock = now
        self.landed: dict[tuple[str, int, int], int] = {}

    async def run(self) -> list[Written]:
        """Write everything; returns when the broker has it."""
        await self._survey()
        await self._write_events()
        for target in self._targets:
            if target.pending:
                self._send(target)
        await self._landed()
        await self._write_state()
        await self._landed()
        return [Written(t.length, t.applied, t.mark, t.people) for t in self._targets]

    # -- what is to be looked for

    async def _survey(self) -> None:
        """Checkpoints, and the offsets that must be known again in the new log."""
        for number in self._former.numbers:
            restored = await self._former.state(number)
            checkpoint = restored.checkpoint
            shard = None if checkpoint is None else shards.Checkpoint.decode(checkpoint.shard)
            origin = self._origins[number] = _Origin(number, checkpoint, shard)
            wanted = set(checkpoint.open) if checkpoint is not None else set[int]()
            for block in restored.blocks.values():
                wanted.update(people_of(block, number).open_offsets().tolist())
            self._places |= {(origin.number, offset): (-1, -1) for offset in wanted}

    # -- events

    async def _write_events(self) -> None:
        """Everything that the state contains, a tick, and what it does not contain yet."""
        ticked = False
        async for origin, clock, record in self._merged():
            if origin.is_behind(record.offset) and not ticked:
                await self._end_of_state()
                ticked = True
            await self._copy(origin, clock, record)
        if not ticked:
            await self._end_of_state()

    async def _merged(self) -> AsyncIterator[tuple[_Origin, int, Kept]]:
        """Records of all former partitions by their clocks, those that the states contain first."""
        logs = {n: self._former.events(n) for n in self._origins}
        heap: list[tuple[bool, int, int, Kept]] = []

        async def push(number: int) -> None:
            record = await anext(logs[number], None)
            if record is not None:
                origin = self._origins[number]
                origin.clock = max(origin.clock, record.timestamp)
                heapq.heappush(heap, (record.offset > origin.applied, origin.clock, number, record))

        for number in logs:
            await push(number)
        while heap:
            _, clock, number, record = heapq.heappop(heap)
            yield self._origins[number], clock, record
            await push(number)

    async def _copy(self, origin: _Origin, clock: int, record: Kept) -> None:
        try:
            event = decode_event(record.value or b"")
        except InvalidMessageError:  # stands where it stood: whoever has not read it yet, names it
            key = (record.key or b"").decode(errors="replace")
            await self._append(self._targets[partition_of(key, len(self._targets))], record, record.value)
            return
        if isinstance(event, Tick) or self._is_repeat(origin, event):
            return
        target = self._targets[partition_of(_owner(event), len(self._targets))]
        if clock > max(target.clock, record.timestamp):
            await self._tick(target, clock)
        if isinstance(event, Fact) and event.source is not None:
            place = Source(self._former.topic, origin.number, origin.incarnation, record.offset)
            value = encode_event(msgspec.structs.replace(event, source=place))
        else:
            value = record.value or b""
        if (origin.number, record.offset) in self._places:
            self._places[origin.number, record.offset] = target.number, target.length
        await self._append(target, record, value)

    def _is_repeat(self, origin: _Origin, event: Event) -> bool:
        if origin.is_repeat(event):
            return True
        if isinstance(event, Fact) and event.source is not None:
            s = event.source
            key = s.topic, s.partition, s.incarnation
            self.landed[key] = max(self.landed.get(key, -1), s.offset)
        return False

    async def _append(self, target: _Target, record: Kept, value: bytes | None) -> None:
        target.pending.append(Outgoing(record.key, value, record.headers, record.timestamp))
        if len(target.pending) >= AT_ONCE:
            await self._events.room()
            self._send(target)
        target.length += 1
        target.clock = max(target.clock, record.timestamp)

    def _send(self, target: _Target) -> None:
        records, target.pending = target.pending, []
        target.landing = self._events.put(target.number, records)

    async def _landed(self) -> None:
        """Wait for the last of each partition; what stands before it has landed before."""
        await asyncio.gather(*(t.landing for t in self._targets if t.landing is not None))

    async def _tick(self, target: _Target, clock: int) -> Kept:
        record = Kept(target.length, clock, None, encode_event(Tick(ts=clock)))
        await self._append(target, record, record.value)
        return record

    async def _end_of_state(self) -> None:
        known = [o.shard.clock for o in self._origins.values() if o.shard is not None]
        self._clock = max(known, default=0) or self._clock
        for target in self._targets:
            record = await self._tick(target, self._clock)
            target.applied, target.mark = record.offset, mark_of(record)

    # -- state

    async def _write_state(self) -> None:
        """People, 256 at a time, then a checkpoint row for each partition."""
        for origin in self._origins.values():
            for block in (await self._former.state(origin.number)).blocks.values():
                await self._spread(origin, people_of(block, origin.number))
        for target in self._targets:
            for experiment in list(target.waiting):
                await self._flush(target, experiment)
            await self._put_state(
                target, Outgoing(CHECKPOINT_KEY, encode_checkpoint(self._checkpoint(target)))
            )

    async def _spread(self, origin: _Origin, people: People) -> None:
        """Send people to their new partitions."""
        home = np.array([partition_of(name, len(self._targets)) for name in people.names()], np.int64)
        for number in np.unique(home).tolist():
            target = self._targets[number]
            mine = people.take(home == number).moved(lambda offset: self._place(origin, offset))
            target.waiting.setdefault(mine.experiment, []).append(mine)
            while sum(map(len, target.waiting[mine.experiment])) >= BLOCK:
                await self._flush(target, mine.experiment)

    def _place(self, origin: _Origin, offset: int) -> int:
        """A decision's place in the new log; one whose record is gone keeps its order before all others."""
        _, place = self._places[origin.number, offset]
        return place if place >= 0 else offset - (1 << 62)

    async def _flush(self, target: _Target, experiment: str) -> None:
        """Write one block of those who wait."""
        parts, room = [], BLOCK
        waiting = target.waiting[experiment]
        while waiting and room:
            people = waiting.pop(0)
            first = np.arange(len(people)) < room
            parts.append(people.take(first))
            if not first.all():
                waiting.insert(0, people.take(~first))
            room -= len(parts[-1])
        if parts:
            block = block_of(parts, target.number, target.blocks)
            await self._put_state(target, block_row(target.blocks, block, target.applied))
            target.blocks += 1
            target.people += BLOCK - room

    async def _put_state(self, target: _Target, row: Outgoing) -> None:
        await self._state.room()
        target.landing = self._state.put(target.number, [row])

    def _checkpoint(self, target: _Target) -> Checkpoint:
        shard_checkpoints = [o.shard for o in self._origins.values() if o.shard is not None]
        incarnation = 1 + max((o.incarnation for o in self._origins.values()), default=-1)
        read = [
            (self._former.topic, o.number, o.incarnation, o.applied, 0)
            for o in self._origins.values()
            if o.applied >= 0
        ]
        own = shards.Checkpoint(
            partition=target.number,
            incarnation=incarnation,
            applied=target.applied,
            clock=self._clock,
            sources=tuple(sorted([*self._sources, *read])),
            erased=tuple(sorted({e for s in shard_checkpoints for e in s.erased})),
        )
        return Checkpoint(
            applied=target.applied,
            mark=target.mark,
            incarnation=incarnation,
            cover=-1,
            open=self._open(target),
            shard=own.encode(),
            blocks=target.blocks,
        )

    def _open(self, target: _Target) -> tuple[int, ...]:
        """Triggers of this partition that wait for their lists."""
        open_ = [
            self._places[o.number, offset]
            for o in self._origins.values()
            if o.checkpoint is not None
            for offset in o.checkpoint.open
        ]
        return tuple(sorted(place for number, place in open_ if number == target.number))


def _owner(event: Event) -> str:
    """Whose event it is."""
    if isinstance(event, Decision):
        return event.recommendation.user_id
    return event.into if isinstance(event, Merge) else event.user_id  # type: ignore[union-attr]  # ticks have no owner
