"""Record batches through Faust: one Faust event is one run of Kafka records of one partition.

Faust spends about 60 microseconds of tasks and callbacks on each *message* it carries; with a run of
up to 2,000 records as its message the same agents, rebalances and commits carry half a million events
a second.  Topics declared with a ``BatchSchema`` are delivered to their agents as ``RecordBatch``
values; agents decode the raw bytes themselves, so a message that cannot be read never reaches Faust's
error handling, which would acknowledge and lose it.

This file and ``streams.fetch_thread`` are the only ones that touch private parts of Faust; they are written
against exactly faust-streaming 0.15.3.  Beside batching it repairs what loses data there:

* nothing fetched between a rebalance and the seek that follows it is delivered, and the seek puts every
  partition back, so that all of it comes again: also where nothing was committed but the beginning;
* an offset is committed only when everything delivered before it has been acknowledged;
* each committed offset carries a mark of the record before it (``mark_of``), by which a topic that was
  recreated, or a log that lost its tail, is recognised (``streams.incarnations``).
"""

from collections import defaultdict, deque
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from types import MappingProxyType
from typing import Any, NamedTuple
from zlib import crc32

import faust
from aiokafka.errors import IllegalStateError, KafkaError
from faust.serializers.schemas import Schema
from faust.transport.drivers import aiokafka as driver
from faust.types.tuples import ConsumerMessage

from schemas.errors import StreamwiseError
from streams.fetch_thread import BatchConsumerThread

Record = Any
"""An aiokafka ``ConsumerRecord``: ``offset``, ``key``, ``value``, ``timestamp`` (ms), ``headers``."""

MAX_BATCH_BYTES = 4 << 20
RECORD_BYTES = 200
"""What a record takes beside its value, roughly."""


class RecordBatch(NamedTuple):
    """A run of records of one partition, in log order.

    Attributes
    ----------
    follows
        Offset of the last record delivered before this run; None for the first run after a rebalance.
    """

    topic: str
    partition: int
    records: list[Record]
    follows: int | None = None

    @property
    def last_offset(self) -> int:
        """Offset of the run's last record."""
        return int(self.records[-1].offset)


def size_of(batch: RecordBatch) -> int:
    """Bytes that a run takes in memory, roughly.

    Examples
    --------
    >>> from types import SimpleNamespace as R
    >>> size_of(RecordBatch("clicks", 0, [R(value=b"abc"), R(value=None)]))
    403
    """
    return RECORD_BYTES * len(batch.records) + sum([len(r.value or b"") for r in batch.records])


def mark_of(record: Record) -> str:
    """A checksum of a record's key, value and timestamp: the same place of another log differs."""
    start = crc32(str(record.timestamp).encode())
    return f"{crc32(record.value or b'', crc32(record.key or b'', start)):08x}"


class BatchSchema(Schema):  # type: ignore[misc]
    """Marks a topic whose records are delivered in runs of at most ``max_records``."""

    def __init__(self, *args: Any, max_records: int = 2000, **options: Any) -> None:
        super().__init__(*args, **options)
        self.max_records = max_records

    def compile(self, app: Any, **_options: Any) -> Any:
        """Faust's hook: how a message becomes an event."""
        create_event = app.create_event

        async def decode(message: Any, *, propagate: bool = False) -> Any:  # noqa: ARG001  Faust's signature
            batch = RecordBatch(message.topic, message.partition, *message.value)
            return create_event(None, batch, message.headers, message)

        return decode


def cut(records: list[Record], max_records: int, max_bytes: int = MAX_BATCH_BYTES) -> Iterator[list[Record]]:
    """Runs of at most ``max_records`` records and ``max_bytes`` bytes (one record may exceed them).

    Examples
    --------
    >>> from types import SimpleNamespace as R
    >>> sizes = [R(value=b"x" * n) for n in (3, 3, 9, 1)]
    >>> [[len(r.value) for r in run] for run in cut(sizes, 2, 8)]
    [[3, 3], [9], [1]]
    """
    for at in range(0, len(records), max_records):
        run = records[at : at + max_records]
        if sum([len(r.value or b"") for r in run]) <= max_bytes:
            yield run
        else:
            yield from _cut_bytes(run, max_bytes)


def _cut_bytes(records: list[Record], max_bytes: int) -> Iterator[list[Record]]:
    run: list[Record] = []
    size = 0
    for record in records:
        length = len(record.value or b"")
        if run and size + length > max_bytes:
            yield run
            run, size = [], 0
        run.append(record)
        size += length
    yield run


class BatchConsumer(driver.Consumer):  # type: ignore[misc]
    """Delivers runs, in order, and only after the seek that follows a rebalance."""

    def __init__(self, *args: Any, **options: Any) -> None:
        self._delivered: defaultdict[Any, deque[tuple[int, str]]] = defaultdict(deque)
        self._stash: dict[Any, list[Record]] = {}
        self._previous: dict[Any, int] = {}
        self._tracked: Any = None
        self._ready: set[Any] = set()
        self._rebalances = 0
        self.marks: dict[tuple[Any, int], str] = {}
        super().__init__(*args, **options)
        self._commit_every = None  # at an interval, never with a message in hand

    def _new_consumer_thread(self) -> BatchConsumerThread:
        return BatchConsumerThread(self, loop=self.loop, beacon=self.beacon)

    def _run_length(self, topic: str) -> int:
        channels = self.app.topics._topic_name_index.get(topic)
        if channels and all(isinstance(c.schema, BatchSchema) for c in channels):
            return min(int(c.schema.max_records) for c in channels)
        return 0

    async def getmany(self, timeout: float) -> AsyncIterator[tuple[Any, Any]]:  # noqa: ASYNC109  Faust's signature
        """Faust's hook: what the fetcher hands to the conductor."""
        records, active = await self._wait_next_records(timeout)
        generation = self.app.consumer_generation_id
        if records is None or self.should_stop:
            return
        if not self.flow_active:
            await self._seek_again()
            return
        for tp, fetched in self._deliverable(records).items():
            if not (active is None or tp in active or tp in self._buffered_partitions):
                self._stash[tp] = fetched
                continue
            for message in self._messages(tp, fetched, generation):
                if not self._may_deliver(tp, generation):
                    return
                yield tp, self._track(tp, message)

    async def _seek_again(self) -> None:
        """Go back to what is committed: what was fetched while the flow stood still is dropped."""
        try:
            await self.perform_seek()
        except IllegalStateError:  # a rebalance overtook it: its end seeks again
            return
        except (KafkaError, StreamwiseError) as error:  # raised, it might end the fetcher and nothing else
            await self.crash(error)

    def _deliverable(self, records: Mapping[Any, list[Record]]) -> dict[Any, list[Record]]:
        """What may go out now, behind what was held back until perform_seek() had returned.

        What is held begins where the last seek put us, and what comes goes on there: nothing is fetched
        between two seeks of one assignment, as the second one is made by who fetches.
        """
        held, self._stash = self._stash, {}
        for tp, fetched in records.items():
            held[tp] = held[tp] + fetched if tp in held else fetched
        ready = set() if self.app.rebalancing else self._ready
        self._stash = {tp: run for tp, run in held.items() if tp not in ready}
        return {tp: run for tp, run in held.items() if tp in ready}

    def _messages(self, tp: Any, fetched: list[Record], generation: int) -> Iterator[Any]:
        self.app.monitor.track_tp_end_offset(tp, self.highwater(tp))
        for run in cut(fetched, self._run_length(tp.topic) or 1):
            last = run[-1]
            yield ConsumerMessage(
                last.topic,
                last.partition,
                last.offset,
                last.timestamp / 1000.0,
                last.timestamp_type,
                [],
                None,
                run,
                None,
                None,
                None,
                tp,
                generation_id=generation,
            )

    def _may_deliver(self, tp: Any, generation: int) -> bool:
        same = self.app.consumer_generation_id == generation
        return bool(self.flow_active) and same and tp in self._ready

    def _track(self, tp: Any, message: Any) -> Any:
        run = message.value
        last = run[-1]
        follows, self._previous[tp] = self._previous.get(tp), last.offset
        self._delivered[tp].append((last.offset, mark_of(last)))
        self._tracked = tp
        message.value = (run, follows)
        return message

    async def wait_first(self, *waited: Any, timeout: Any = None) -> Any:  # noqa: ASYNC109  Faust's signature
        """Hand a message over at once where there is room for it.

        Faust's fetcher calls this with the hand-over of one message and a wait for the flow's suspension,
        and makes four tasks of them: on a busy loop that alone is 4 ms a message, and what all partitions
        of a fetch wait, one after the other.  (While a rebalance suspends the flow it waits here for one
        thing only: the flow.)
        """
        if len(waited) != 2 or not self._is_room(self._tracked):
            return await super().wait_first(*waited, timeout=timeout)
        deliver, suspended = waited
        suspended.close()
        await deliver
        return None

    def _is_room(self, tp: Any) -> bool:
        channels = self.app.topics._tp_index.get(tp)
        return (
            bool(channels) and self.app.flow_control.is_active() and not any(c.queue.full() for c in channels)
        )

    async def _add_gap(self, tp: Any, offset_from: int, offset_to: int) -> None:
        """Runs end where they end: offsets between them need no bookkeeping."""

    def ack(self, message: Any) -> bool:
        """Faust's hook, without its look at what was committed.

        A commit that was tried again until it reached another generation may have left more there than this
        one has delivered; acknowledgements below it would then count for nothing, and the partition would
        commit nothing until the next rebalance.
        """
        if message.acked:
            return False
        message.acked = True
        self._unacked_messages.discard(message)
        self._acked[message.tp].append(message.offset)
        self._acked_index[message.tp].add(message.offset)
        return True

    def _new_offset(self, tp: Any) -> int | None:
        """One past the last of the acknowledged runs that nothing unacknowledged precedes."""
        queue, acked = self._delivered[tp], self._acked_index[tp]
        done: tuple[int, str] | None = None
        while queue and queue[0][0] in acked:
            done = queue.popleft()
            acked.discard(done[0])
        self._acked[tp].clear()
        if done is None:
            return None
        self.marks[tp, done[0] + 1] = done[1]
        return done[0] + 1

    async def perform_seek(self) -> None:
        """Go to the committed offsets; deliver nothing before that is done.

        Raises
        ------
        IllegalStateError
            Another rebalance began meanwhile: its end seeks again.
        UnavailableError
            The group's coordinator does not answer.
        """
        self._ready.clear()
        self._stash.clear()
        rebalances = self._rebalances
        await super().perform_seek()
        if rebalances != self._rebalances:
            raise IllegalStateError("a rebalance overtook the seek")
        self._forget()
        self._ready.update(self.assignment())

    async def on_partitions_revoked(self, revoked: Any) -> None:
        """A rebalance begins: what was fetched belongs to nobody now."""
        self._rebalances += 1
        self._ready.clear()
        self._stash.clear()
        await super().on_partitions_revoked(revoked)
        self._forget()
        self._stash.clear()

    def _forget(self) -> None:
        self._delivered.clear()
        self._previous.clear()
        self._acked_index.clear()
        self.marks.clear()


class BatchTransport(driver.Transport):  # type: ignore[misc]
    """Faust's transport with the consumer above."""

    Consumer = BatchConsumer


class BatchApp(faust.App):  # type: ignore[misc]
    """A Faust app whose topics may be declared with ``BatchSchema``.

    Attributes
    ----------
    fetch_wait_ms
        Longest wait of a fetch; 0 keeps Faust's own.  Only brokers that do not wake long polls need it.
    gather_seconds
        Tells how long fetches gather records that keep coming; 0: they do not.
    incarnations
        Life of each (topic, partition) that is not in its first; written beside committed offsets.
    """

    fetch_wait_ms: int = 0
    gather_seconds: Callable[[], float] = staticmethod(lambda: 0.0)
    incarnations: Mapping[tuple[str, int], int] = MappingProxyType({})

    def _new_transport(self) -> BatchTransport:
        return BatchTransport(self.conf.broker_consumer, self)

    def commit_note(self, topic: str, partition: int, mark: str) -> str:
        """Metadata of a committed offset: the topic's incarnation and the mark of the record before it."""
        return f"{self.incarnations.get((topic, partition), 0)}:{mark}"

    @property
    def generation(self) -> int:
        """The consumer group's generation: state belongs to one of them."""
        return int(self.consumer_generation_id)

    def committed(self) -> dict[tuple[str, int], int]:
        """Offset of the next record of each partition of ours, as it was committed last."""
        known = self.consumer._committed_offset  # Faust keeps None for 0
        return {(tp.topic, tp.partition): known[tp] or 0 for tp in self.consumer.assignment() if tp in known}

    def _create_directories(self) -> None:
        """Nothing is kept on disk by Faust: there are no tables."""

    async def until_crashed(self) -> None:
        """Wait until Faust itself gives up."""
        await self._crashed.wait()

    async def commit_now(self) -> None:
        """Commit what has been acknowledged without waiting for the next interval."""
        await self.consumer.commit()
