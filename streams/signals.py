"""The signals log: appending blocks, and reading every block from a place onwards."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any, NamedTuple

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import NoOffsetForPartitionError, OffsetOutOfRangeError

from schemas.control import ControlRow
from schemas.errors import IncarnationError
from schemas.settings import KafkaSettings
from schemas.signals import SignalBlock, decode_block, encode_block
from schemas.topics import Topic, topic_name
from streams.kafka import connect, connection
from streams.tasks import closed
from streams.writer import LogWriter, Outgoing

RECORDS_AT_ONCE = 50
GATHERED_BYTES = 1 << 20
"""Of blocks that come within ``gather_ms``: as many are sent before it is over."""


class SignalsWriter:
    """Appends to the one partition of ``signals``."""

    def __init__(self, writer: LogWriter) -> None:
        self._writer = writer

    def append(self, block: SignalBlock) -> "tuple[asyncio.Future[None], int]":
        """Append a block: a future that is done on the ack, and the block's size in bytes."""
        data = encode_block(block)
        key = f"{block.cover.partition}".encode() if block.cover is not None else b"control"
        return self._writer.put(0, [Outgoing(key, data)]), len(data)

    async def room(self) -> None:
        """Wait for room: a log that takes nothing holds the partitions back instead of filling memory."""
        await self._writer.room()

    def control(self, rows: tuple[ControlRow, ...]) -> "asyncio.Future[None]":
        """Append control rows."""
        return self.append(SignalBlock(cover=None, controls=rows))[0]


class Located(NamedTuple):
    """A block of the log, not decoded yet."""

    offset: int
    data: bytes

    def block(self) -> SignalBlock:
        """Decode it.

        Raises
        ------
        CorruptBlockError
            Its bytes are damaged.
        """
        return decode_block(self.data)


class SignalsTail:
    """Reads the log from an offset onwards, for ever; never skips.

    Parameters
    ----------
    offset
        Of the first block wanted.
    gather_ms
        How long the broker gathers blocks before it sends them: a fetch costs as much as folding a hundred
        rows, however little it brings.

    Raises
    ------
    IncarnationError
        From ``blocks``: the log does not reach back to ``offset``, or ends before it.
    """

    def __init__(self, kafka: KafkaSettings, offset: int, gather_ms: int = 0) -> None:
        self._kafka = kafka
        self._gather_ms = gather_ms
        self.events = kafka.topic(Topic.EVENTS)
        self._offset = offset
        self._tp = TopicPartition(topic_name(Topic.SIGNALS, kafka.namespace), 0)
        self.end = offset
        self.reading = False  # whether ``end`` is the log's

    async def blocks(self) -> AsyncIterator[list[Located]]:
        """Runs of blocks as they come; an empty run when a second passed without one."""
        consumer = AIOKafkaConsumer(
            **connection(self._kafka),
            enable_auto_commit=False,
            auto_offset_reset="none",
            max_partition_fetch_bytes=8 << 20,
            fetch_min_bytes=GATHERED_BYTES if self._gather_ms else 1,
            fetch_max_wait_ms=self._kafka.fetch_wait_ms or self._gather_ms or 500,
        )
        await connect(consumer)
        try:
            await self._seek(consumer)
            self.reading = True
            while True:
                try:
                    got = await consumer.getmany(self._tp, timeout_ms=1000, max_records=RECORDS_AT_ONCE)
                except (OffsetOutOfRangeError, NoOffsetForPartitionError) as error:
                    raise self._lost(f"{error!r}") from error
                self.end = max(self.end, consumer.highwater(self._tp) or 0)
                yield [Located(r.offset, r.value or b"") for r in got.get(self._tp, [])]
                await asyncio.sleep(0)
        finally:
            await closed(consumer.stop())

    async def _seek(self, consumer: Any) -> None:
        consumer.assign([self._tp])
        start = (await consumer.beginning_offsets([self._tp]))[self._tp]
        self.end = (await consumer.end_offsets([self._tp]))[self._tp]
        if not start <= self._offset <= self.end:
            raise self._lost(f"the log holds {start} to {self.end}")
        consumer.seek(self._tp, self._offset)

    def _lost(self, why: str) -> IncarnationError:
        return IncarnationError(
            f"{self._tp.topic}: wanted from offset {self._offset}, but {why}: "
            "start from a snapshot that the log still reaches, or restore the log from a backup"
        )
