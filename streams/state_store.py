"""User state on the compacted ``state`` topic: whole sweeps or nothing, and only by the owner.

A sweep is the dirty blocks of one partition and then its checkpoint row.  With ``fence =
"transactions"`` it is one Kafka transaction of the partition's own transactional producer: starting
that producer (taking over) fences the former owner, whose overdue write then fails.  With ``fence =
"none"``, for brokers without transactions and one worker, each block names its sweep (the offset up to
which events are applied in it), and a block counts only if a checkpoint row reached that offset: a
sweep that never ended is ignored, and what it overwrote is written again before compaction may come.
"""

import asyncio
import logging
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple, Protocol

import msgspec
from aiokafka import TopicPartition
from aiokafka.errors import InvalidProducerEpoch, KafkaError, ProducerFenced

from schemas.errors import CorruptBlockError, FencedError, IncarnationError, UnavailableError
from schemas.settings import KafkaSettings
from schemas.topics import Topic
from streams.kafka import connect, read_range, reader, transactional_producer
from streams.tasks import closed
from streams.writer import LogWriter, Outgoing

log = logging.getLogger(__name__)

CHECKPOINT_KEY = b"checkpoint"
BLOCK = b"block/"
SWEEP = "sweep"
VERSION = 1
BLOCKS_AT_ONCE = 16


class Checkpoint(msgspec.Struct, frozen=True, kw_only=True):
    """What the blocks of a partition contain, and where its owner goes on.

    Parameters
    ----------
    applied
        Offset of the last record of ``events`` that the blocks contain; -1: none.
    mark
        Checksum of that record (``streams.transport.mark_of``).
    incarnation
        Life of the ``events`` partition.
    cover
        End of the last signals block.
    open
        Offsets, up to ``applied``, of the triggers whose lists are not published yet, ascending.
    shard
        What the user state itself keeps beside its blocks.
    blocks
        How many blocks of people the partition has; 0 in rows of builds that did not count them.
    """

    version: int = VERSION
    applied: int
    mark: str
    incarnation: int
    cover: int
    open: tuple[int, ...] = ()
    shard: bytes = b""
    blocks: int = 0

    @property
    def decide_from(self) -> int:
        """No trigger below this offset waits for its list."""
        return min(self.open, default=self.applied + 1)


encode_checkpoint = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(Checkpoint).decode


def block_key(number: int) -> bytes:
    """Key of a block within its partition.

    Examples
    --------
    >>> block_key(7)
    b'block/7'
    """
    return BLOCK + b"%d" % number


def block_row(number: int, block: bytes, sweep: int) -> Outgoing:
    """A block's record; its header names the sweep."""
    return Outgoing(block_key(number), block, [(SWEEP, b"%d" % sweep)])


class Restored(NamedTuple):
    """A partition's state as it was found.

    Attributes
    ----------
    checkpoint
        None for a partition that was never checkpointed.
    unfinished
        Blocks that a sweep without an end has superseded: to be written again.
    written_at
        The broker's time of the checkpoint row, ms.
    """

    checkpoint: Checkpoint | None
    blocks: dict[int, bytes]
    unfinished: frozenset[int] = frozenset()
    written_at: int = 0


class StateStore(Protocol):
    """Writes the sweeps of one partition."""

    async def write(self, blocks: Mapping[int, bytes], checkpoint: Checkpoint) -> None:
        """Make a sweep durable.

        Raises
        ------
        FencedError
            Another worker owns the partition now.
        """

    async def stop(self) -> None:
        """Let go."""


class FencedStore:
    """A sweep is a transaction."""

    def __init__(self, producer: Any, topic: str, partition: int) -> None:
        self._producer = producer
        self._topic = topic
        self._partition = partition
        self._told = False

    async def write(self, blocks: Mapping[int, bytes], checkpoint: Checkpoint) -> None:
        """One transaction: the blocks, then the checkpoint row."""
        try:
            await self._producer.begin_transaction()
            for n, (number, block) in enumerate(blocks.items(), 1):
                await self._send(block_row(number, block, checkpoint.applied))
                if n % BLOCKS_AT_ONCE == 0:
                    await asyncio.sleep(0)  # sending does not wait by itself while there is room
            await self._send(Outgoing(CHECKPOINT_KEY, encode_checkpoint(checkpoint)))
            await self._producer.commit_transaction()
        except (ProducerFenced, InvalidProducerEpoch) as error:
            self._tell_refused()
            raise FencedError(f"{self._where}: another worker owns the partition now") from error
        except KafkaError as error:
            raise UnavailableError(f"{self._where}: state cannot be written ({error!r})") from error

    @property
    def _where(self) -> str:
        return f"{self._topic}/{self._partition}"

    async def _send(self, row: Outgoing) -> None:
        sent = await self._producer.send(
            self._topic, row.value, key=row.key, headers=list(row.headers), partition=self._partition
        )
        sent.add_done_callback(_heard)  # the commit tells whether it worked

    async def stop(self) -> None:
        """Close the producer; an open transaction is aborted by the next owner."""
        try:
            await closed(self._producer.stop())
        except (ProducerFenced, InvalidProducerEpoch):  # a write was on its way, and this is its end
            self._tell_refused()
            await closed(self._producer.client.close())  # its stop() comes to that only without an error

    def _tell_refused(self) -> None:
        """Once: closing the client comes upon it again."""
        if not self._told:
            refused = "%s: an overdue checkpoint was refused: another worker owns the partition now"
            log.warning(refused, self._where)
        self._told = True


def _heard(future: Any) -> None:
    """A future whose exception need not be reported."""
    if not future.cancelled():
        future.exception()


class PlainStore:
    """A sweep ends with its checkpoint row; for one worker on a broker without transactions."""

    def __init__(self, writer: LogWriter, partition: int) -> None:
        self._writer = writer
        self._partition = partition

    async def write(self, blocks: Mapping[int, bytes], checkpoint: Checkpoint) -> None:
        """Append the blocks and then the row, in order."""
        rows = [block_row(n, block, checkpoint.applied) for n, block in blocks.items()]
        rows.append(Outgoing(CHECKPOINT_KEY, encode_checkpoint(checkpoint)))
        await self._writer.put(self._partition, rows)

    async def stop(self) -> None:
        """Nothing of its own to let go."""


async def take_over(kafka: KafkaSettings, partition: int, writer: LogWriter) -> StateStore:
    """Fence the former owner: only after that may ``restore`` read what is there.

    Parameters
    ----------
    writer
        Of the ``state`` topic, for ``fence = "none"``.
    """
    topic = kafka.topic(Topic.STATE)
    if kafka.fence == "none":
        return PlainStore(writer, partition)
    producer = transactional_producer(kafka, f"{topic}-{kafka.group}-{partition}")
    await connect(producer)
    return FencedStore(producer, topic, partition)


async def restore(kafka: KafkaSettings, partition: int) -> Restored:
    """Read a partition of ``state`` to its end; only sweeps that ended count.

    Raises
    ------
    CorruptBlockError
        A checkpoint row of another version, or damaged.
    IncarnationError
        Blocks are missing: the topic was cut.
    """
    tp = TopicPartition(kafka.topic(Topic.STATE), partition)
    found = Sweeps()
    async with reader(kafka, committed=True) as consumer:
        start = (await consumer.beginning_offsets([tp]))[tp]
        end = (await consumer.end_offsets([tp]))[tp]
        async for record in read_range(consumer, tp.topic, partition, start, end):
            found.take(record)
    restored = found.restored()
    _refuse_cut(restored, f"{tp.topic}/{partition}")
    return restored


def _refuse_cut(restored: Restored, where: str) -> None:
    """Compaction keeps every block's newest row: one that is missing was deleted, and its people with it."""
    there, counted = len(restored.blocks), 0 if restored.checkpoint is None else restored.checkpoint.blocks
    if there < counted:
        raise IncarnationError(
            f"{where}: {there} of {counted} blocks of people are there: records of this compacted topic were "
            "deleted: restore it from a backup, or delete it and set the group's offset in events to the "
            "earliest, and all of it is folded again"
        )


class Sweeps:
    """Puts the records of a state partition together, in log order."""

    def __init__(self) -> None:
        self._blocks: dict[int, bytes] = {}
        self._open: list[tuple[int, int, bytes]] = []
        self._checkpoint: Checkpoint | None = None
        self._written_at = 0

    def take(self, record: Any) -> None:
        """A block, which waits for its checkpoint row, or the row, which ends sweeps.

        Raises
        ------
        CorruptBlockError
            The record is none that a worker writes: its key, its value or its sweep is damaged.
        """
        key, value = record.key or b"", record.value or b""
        if key.startswith(BLOCK):
            self._open.append((_sweep(record.headers), number_of(key, BLOCK), value))
        if key != CHECKPOINT_KEY:
            return
        self._checkpoint = checkpoint = _read_checkpoint(value)
        self._written_at = getattr(record, "timestamp", 0)
        for sweep, number, block in self._open:
            if sweep <= checkpoint.applied:
                self._blocks[number] = block
        self._open = [row for row in self._open if row[0] > checkpoint.applied]

    def restored(self) -> Restored:
        """What the log amounts to."""
        unfinished = {number for _, number, _ in self._open}
        return Restored(
            self._checkpoint, self._blocks, frozenset(unfinished & self._blocks.keys()), self._written_at
        )


def number_of(key: bytes, prefix: bytes) -> int:
    """The number behind a key's prefix.

    Raises
    ------
    CorruptBlockError
        There is none.
    """
    digits = key.removeprefix(prefix)
    if not digits.isdigit():
        raise CorruptBlockError("state key", key, "not a key that a worker writes: restore the state topic")
    return int(digits)


def _sweep(headers: Iterable[tuple[str, bytes]]) -> int:
    return next((number_of(v, b"") for k, v in headers if k == SWEEP), 0)


def _read_checkpoint(data: bytes) -> Checkpoint:
    try:
        checkpoint: Checkpoint = _decode(data)
    except msgspec.DecodeError as error:
        raise CorruptBlockError("checkpoint", data, "the row is damaged: restore the state topic") from error
    if checkpoint.version != VERSION:
        found = checkpoint.version
        raise CorruptBlockError("checkpoint.version", found, f"this build reads version {VERSION}")
    return checkpoint
