"""Appending to one topic without ever waiting for it.

``put`` takes records and returns a future at once; a task per partition packs whatever has gathered
while the former batch was on its way into the next one.  So order per partition is the order of
``put``, what lands of a session is always a prefix (the producer is idempotent), small runs cost no
extra round trip, and large ones are packed at a million records a second.
"""

import asyncio
from collections import deque
from collections.abc import Awaitable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from typing import Any

import msgspec

from schemas.errors import UnavailableError
from streams.tasks import end, failure_of

NO_HEADERS: list[tuple[str, bytes]] = []


class Outgoing(msgspec.Struct, frozen=True, gc=False):
    """A record to append (of a kind that is cheap to make, and nothing for the garbage collector)."""

    key: bytes | None
    value: bytes | None
    headers: Sequence[tuple[str, bytes]] = ()
    timestamp: int | None = None


def size_of(records: Sequence[Outgoing]) -> int:
    """Bytes that records take, roughly."""
    return 64 * len(records) + sum([len(r.key or b"") + len(r.value or b"") for r in records])


@dataclass(slots=True)
class _Parcel:
    """What one ``put`` brought; ``at`` counts the records that are packed already."""

    records: Sequence[Outgoing]
    size: int
    landed: "asyncio.Future[None]"
    at: int = 0

    def pack(self, builder: Any) -> bool:
        """Append records until the batch is full; whether the last one is in."""
        append = builder.append
        for at, r in enumerate(islice(self.records, self.at, None), self.at):
            headers = list(r.headers) if r.headers else NO_HEADERS
            if append(timestamp=r.timestamp, key=r.key, value=r.value, headers=headers) is None:
                self.at = at
                return False
        return True

    def fail(self, error: Exception) -> None:
        """Tell whoever waits; whoever does not wait is not warned."""
        if not self.landed.done():
            self.landed.set_exception(error)
            self.landed.exception()


class LogWriter:
    """Writes one topic with a shared idempotent producer.

    Parameters
    ----------
    producer
        A started ``AIOKafkaProducer`` with ``enable_idempotence``.
    topic
        Its name on the broker.
    max_bytes
        Bytes that may wait here; above it ``room`` waits.
    """

    def __init__(self, producer: Any, topic: str, *, max_bytes: int = 32 << 20) -> None:
        self.topic = topic
        self._producer = producer
        self._max_bytes = max_bytes
        self._waiting: dict[int, deque[_Parcel]] = {}
        self._wake: dict[int, asyncio.Event] = {}
        self._tasks: dict[int, asyncio.Task[None]] = {}
        self._acks: set[asyncio.Task[None]] = set()
        self._bytes = 0
        self._below = asyncio.Event()
        self._below.set()
        self._error: BaseException | None = None

    @property
    def bytes_waiting(self) -> int:
        """Bytes put and not yet acknowledged."""
        return self._bytes

    def put(self, partition: int, records: Sequence[Outgoing]) -> "asyncio.Future[None]":
        """Append records, in order; the future is done when all of them are acknowledged.

        Raises
        ------
        UnavailableError
            After the first failure nothing more is taken: a later record must not land where an
            earlier one is missing.
        """
        if self._error is not None:
            raise UnavailableError(f"{self.topic}: nothing is written after {self._error!r}")
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        if not records:
            future.set_result(None)
            return future
        parcel = _Parcel(records, size_of(records), future)
        self._account(parcel.size)
        if partition not in self._tasks:
            self._waiting[partition] = deque()
            self._wake[partition] = asyncio.Event()
            self._tasks[partition] = asyncio.create_task(self._write(partition))
            self._tasks[partition].add_done_callback(failure_of)  # told already
        self._waiting[partition].append(parcel)
        self._wake[partition].set()
        return future

    async def room(self) -> None:
        """Wait until less than ``max_bytes`` are waiting."""
        await self._below.wait()
        if self._error is not None:
            raise UnavailableError(f"{self.topic}: nothing is written after {self._error!r}")

    async def stop(self) -> None:
        """Let go of what has not been sent; what is on its way may still land."""
        self._fail(UnavailableError(f"{self.topic}: the writer was stopped"))
        await end(*self._tasks.values(), *self._acks)

    async def _write(self, partition: int) -> None:
        waiting, wake = self._waiting[partition], self._wake[partition]
        while True:
            await wake.wait()
            wake.clear()
            while waiting:
                await self._send_next(partition, waiting)

    async def _send_next(self, partition: int, waiting: "deque[_Parcel]") -> None:
        """One batch: as many whole parcels as fit, and the part of the next one that fits."""
        whole: list[_Parcel] = []
        with self._telling(whole):
            builder = self._producer.create_batch()
            while waiting and waiting[0].pack(builder):
                whole.append(waiting.popleft())
            builder.close()
            acked = await self._producer.send_batch(builder, self.topic, partition=partition)
        task = asyncio.create_task(self._landed(acked, whole))
        self._acks.add(task)
        task.add_done_callback(self._acks.discard)
        task.add_done_callback(failure_of)  # told already

    async def _landed(self, acked: Awaitable[Any], whole: list[_Parcel]) -> None:
        try:
            with self._telling(whole):
                await acked
        finally:
            self._account(-sum(p.size for p in whole))
        for parcel in whole:
            if not parcel.landed.done():
                parcel.landed.set_result(None)

    @contextmanager
    def _telling(self, whole: Sequence[_Parcel]) -> Iterator[None]:
        """Whatever happens inside, nobody may wait for these for ever."""
        try:
            yield
        except BaseException as error:  # cancelled, too: whoever waits must hear of it
            self._fail(error, whole)
            raise

    def _account(self, size: int) -> None:
        self._bytes += size
        if self._bytes < self._max_bytes or self._error is not None:
            self._below.set()
        else:
            self._below.clear()

    def _fail(self, error: BaseException, sent: Sequence[_Parcel] = ()) -> None:
        self._error = self._error or error
        for parcel in [*sent, *(p for waiting in self._waiting.values() for p in waiting)]:
            parcel.fail(UnavailableError(f"{self.topic}: {self._error!r}"))
        for waiting in self._waiting.values():
            waiting.clear()
        self._below.set()
