"""The encoder's place in the stream: ``items`` in, ``embeddings`` out.

One process of a consumer group whose name holds the encoder's version: another version encodes the whole
catalogue again, and both may run at once.  Texts are encoded in any order and published in the log's, so
that of two updates of one item the later one stands last in the compacted ``embeddings`` topic.  An offset
is committed when the broker has acknowledged what became of everything before it: a vector, a tombstone
for an item that is delisted or has no text, or a dead letter for a text that cannot be encoded.  What
cannot be read at all is intake's to send to the dead letters.
"""

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Sequence
from concurrent.futures import Future
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

import msgspec
from aiokafka import AIOKafkaConsumer, ConsumerRebalanceListener, TopicPartition
from aiokafka.errors import CommitFailedError, IllegalStateError
from typing_extensions import override  # an aiokafka requirement; typing has it from 3.12

from schemas.embeddings import Embedding
from schemas.errors import InvalidMessageError
from schemas.ids import partition_of
from schemas.settings import KafkaSettings
from schemas.topics import Topic, topic_name
from streams.connection import consumer_options
from streams.deadletters import DeadLetter, DeadLetters
from streams.items import read_item
from streams.kafka import connect, idempotent_producer
from streams.partitions import partitions_soon
from streams.tasks import closed, end, unless
from streams.writer import LogWriter, Outgoing
from workers.encoder.cache import MemoryCache
from workers.encoder.pool import EncoderPool, Vector
from workers.encoder.protocol import EncodeError
from workers.encoder.spec import text_hash

POLL_MS = 200
MAX_RECORDS = 256
MAX_POLLS = 4
"""Polls that wait for their vectors; a poll holds at most ``MAX_RECORDS`` records of one fetch (1 MiB a
partition), which bounds the bytes held here."""

REMEMBERED_BYTES = 32 << 20
COMMIT_SECONDS = 1.0
REVOKE_SECONDS = 2.0


class EncodeObserver(Protocol):
    """Told of what becomes of items; must not raise and must not block."""

    def embedding_published(self) -> None:
        """A vector was sent."""
        ...

    def item_unchanged(self) -> None:
        """An update of price, stock or else left the text as it was: nothing was sent."""
        ...

    def item_without_text(self) -> None:
        """An item was delisted, or has no text (any more)."""
        ...

    def item_refused(self, error_class: str) -> None:
        """An item cannot be read, or its text cannot be encoded."""
        ...


class NullEncodeObserver:
    """Counts nothing."""

    def embedding_published(self) -> None:
        """Ignore."""

    def item_unchanged(self) -> None:
        """Ignore."""

    def item_without_text(self) -> None:
        """Ignore."""

    def item_refused(self, error_class: str) -> None:
        """Ignore."""


@dataclass(slots=True)
class _Job:
    """One record of ``items``: unreadable, refused by the encoder (``error``), encoded, or without a text."""

    record: Any
    item_id: str = ""
    text: str = ""
    unreadable: InvalidMessageError | None = None
    error: InvalidMessageError | None = None
    vector: "Future[Vector] | None" = None


class _Poll(NamedTuple):
    """What one poll brought; ``generation`` is that of the assignment under which it was read."""

    generation: int
    jobs: list[_Job]
    offsets: dict[TopicPartition, int]


class _Sent(NamedTuple):
    """What is on its way to the broker, and what may be committed when it has landed."""

    landing: "list[asyncio.Future[None]]"
    offsets: dict[TopicPartition, int]


class _Out(NamedTuple):
    """Where results go."""

    vectors: LogWriter
    partitions: int
    letters: DeadLetters

    def vector(self, item_id: str, value: bytes | None) -> "asyncio.Future[None]":
        return self.vectors.put(partition_of(item_id, self.partitions), [Outgoing(item_id.encode(), value)])

    async def room(self) -> None:
        await self.vectors.room()
        await self.letters.room()


class EncodeStage:
    """Consumes ``items`` and publishes vectors until told to stop; runs once.

    Parameters
    ----------
    pool
        Encodes; its owner closes it after ``run``.
    """

    def __init__(
        self, kafka: KafkaSettings, pool: EncoderPool, *, observer: EncodeObserver | None = None
    ) -> None:
        self._kafka = kafka
        self._pool = pool
        self._observer = observer or NullEncodeObserver()
        self._polls: asyncio.Queue[_Poll | None] = asyncio.Queue(MAX_POLLS)
        self._sent: deque[_Sent] = deque()
        self._generation = 0
        # Item id to the hash of its last published text: an update of the stock publishes no vector.
        self._published = MemoryCache(REMEMBERED_BYTES)

    async def run(self, stop: asyncio.Event) -> None:
        """Work until ``stop``, then finish what was read, commit and leave the group.

        Raises
        ------
        UnavailableError
            The broker does not answer, or a result could not be written.  Start again: nothing is lost.
        """
        producer = idempotent_producer(self._kafka)
        consumer = AIOKafkaConsumer(**self._group_options())
        if not await unless(stop, connect(producer)):
            return
        try:
            async with self._outputs(producer) as out:
                items = topic_name(Topic.ITEMS, self._kafka.namespace)
                consumer.subscribe([items], listener=_Handover(self, consumer))
                if await unless(stop, connect(consumer)):
                    await _together(self._read(consumer, stop), self._publish(consumer, out))
        finally:
            try:
                await closed(consumer.stop())
            finally:
                await closed(producer.stop())

    def _group_options(self) -> dict[str, Any]:
        session = int(1000 * self._kafka.session_seconds)
        # Namespaces may share a broker and a group name: each must have an assignment of its own.
        space = f"{self._kafka.namespace}." if self._kafka.namespace else ""
        return consumer_options(self._kafka) | {
            "group_id": f"{space}{self._kafka.group}-encoder-{self._pool.spec.version}",
            "session_timeout_ms": session,
            "heartbeat_interval_ms": max(100, session // 6),
        }

    @asynccontextmanager
    async def _outputs(self, producer: Any) -> AsyncIterator[_Out]:
        partitions = len(await partitions_soon(self._kafka, Topic.EMBEDDINGS))
        vectors = LogWriter(producer, topic_name(Topic.EMBEDDINGS, self._kafka.namespace))
        letters = LogWriter(producer, topic_name(Topic.DEAD_LETTERS, self._kafka.namespace))
        try:
            yield _Out(vectors, partitions, DeadLetters(letters))
        finally:
            await vectors.stop()
            await letters.stop()

    async def _read(self, consumer: Any, stop: asyncio.Event) -> None:
        while not stop.is_set():
            fetched = await consumer.getmany(timeout_ms=POLL_MS, max_records=MAX_RECORDS)
            generation = self._generation
            jobs = [self._job(record) for records in fetched.values() for record in records]
            if jobs:
                # In a thread: tokenising takes milliseconds, and Redis may take its whole timeout.
                await asyncio.to_thread(self._submit, jobs)
                offsets = {tp: records[-1].offset + 1 for tp, records in fetched.items()}
                await self._polls.put(_Poll(generation, jobs, offsets))
        await self._polls.put(None)

    def _job(self, record: Any) -> _Job:
        try:
            item_id, item = read_item(record)
        except InvalidMessageError as error:
            return _Job(record, unreadable=error)
        return _Job(record, item_id=item_id, text=item.text() if item is not None else "")

    def _submit(self, jobs: Sequence[_Job]) -> None:
        asking = [job for job in jobs if job.text]
        vectors = self._pool.submit([job.text for job in asking])
        for job, vector in zip(asking, vectors, strict=True):
            job.vector = vector

    async def _publish(self, consumer: Any, out: _Out) -> None:
        """Send what the polls became, in order; commit as it lands."""
        while True:
            try:
                poll = await asyncio.wait_for(self._polls.get(), COMMIT_SECONDS)
            except TimeoutError:  # nothing new: what was sent may have landed
                await self.commit(consumer)
                continue
            if poll is None:
                self._polls.task_done()
                break
            sending = [await self._send(job, poll, out) for job in poll.jobs]
            if poll.generation == self._generation:
                self._sent.append(_Sent([landed for landed in sending if landed is not None], poll.offsets))
            self._polls.task_done()
            await self.commit(consumer)
        for sent in self._sent:
            await asyncio.gather(*sent.landing)
        await self.commit(consumer)

    async def _send(self, job: _Job, poll: _Poll, out: _Out) -> "asyncio.Future[None] | None":
        """Send what a record became; None when there is nothing to send."""
        vector: Vector | None = None
        try:
            if job.vector is not None:
                vector = await asyncio.wrap_future(job.vector)
        except EncodeError as error:
            job.error = InvalidMessageError("$.title", job.text, f"the text cannot be encoded: {error}")
        await out.room()
        if poll.generation != self._generation:
            return None  # the partition is another worker's by now, which will encode the item itself
        if job.unreadable is not None:  # intake sends it to the dead letters, once for all who read it
            self._observer.item_refused(type(job.unreadable).__name__)
            return None
        if job.error is not None:
            self._observer.item_refused(type(job.error).__name__)
            return out.letters.put([DeadLetter(job.record, job.error)], "encode")
        digest = text_hash(job.text) if job.text else ""
        if self._published.get(job.item_id) == digest.encode():
            self._observer.item_unchanged()
            return None
        self._published.put(job.item_id, digest.encode())
        if vector is None:
            self._observer.item_without_text()
            return out.vector(job.item_id, None)
        self._observer.embedding_published()
        return out.vector(job.item_id, self._message(job, digest, vector))

    def _message(self, job: _Job, digest: str, vector: Vector) -> bytes:
        """The vector as it is published; its ``ts`` is the item's, so that readers can drop the older."""
        spec = self._pool.spec
        return msgspec.json.encode(
            Embedding(
                item_id=job.item_id,
                model=spec.model,
                version=spec.version,
                modality=spec.modality,
                dim=spec.dim,
                text_hash=digest,
                vector=vector,
                ts=max(0, job.record.timestamp),
            )
        )

    async def commit(self, consumer: Any) -> None:
        """Commit up to the first poll of which something has not landed."""
        offsets: dict[TopicPartition, int] = {}
        while self._sent and all(landed.done() for landed in self._sent[0].landing):
            sent = self._sent.popleft()
            for landed in sent.landing:
                landed.result()  # raises what kept it from landing
            offsets |= sent.offsets
        if not offsets:
            return
        try:
            await consumer.commit(offsets)
        except (CommitFailedError, IllegalStateError):
            # The partitions are another worker's by now.  It encodes from the last commit: the same
            # vectors under the same keys.
            return

    async def hand_over(self, consumer: Any) -> None:
        """Before partitions go: finish for a moment, commit, and forget the rest."""
        try:
            async with asyncio.timeout(REVOKE_SECONDS):
                await self._polls.join()
                for sent in list(self._sent):
                    if sent.landing:
                        await asyncio.wait(sent.landing)
        except TimeoutError:  # the next owner encodes the rest again
            pass
        await self.commit(consumer)
        self._generation += 1
        self._sent.clear()
        self._published = MemoryCache(REMEMBERED_BYTES)


class _Handover(ConsumerRebalanceListener):  # type: ignore[misc]
    """Tells the stage when its partitions go."""

    def __init__(self, stage: EncodeStage, consumer: Any) -> None:
        self._stage = stage
        self._consumer = consumer

    @override
    async def on_partitions_revoked(self, revoked: "set[TopicPartition]") -> None:
        await self._stage.hand_over(self._consumer)

    @override
    async def on_partitions_assigned(self, assigned: "set[TopicPartition]") -> None:
        """Reading begins at the committed offsets, by itself."""


async def _together(*works: Any) -> None:
    """Run until all are done; the first failure ends the others and is raised."""
    tasks = [asyncio.ensure_future(work) for work in works]
    try:
        await asyncio.gather(*tasks)
    finally:
        await end(*tasks)
