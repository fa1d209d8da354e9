"""Clients of the broker, made in one place from the settings: same address, same credentials."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import asynccontextmanager
from time import monotonic
from typing import Any, TypeVar

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import (
    GroupCoordinatorNotAvailableError,
    InvalidProducerEpoch,
    KafkaError,
    NotCoordinatorForGroupError,
    ProducerFenced,
    for_code,
)
from aiokafka.protocol.commit import OffsetFetchRequest

from schemas.errors import UnavailableError
from schemas.settings import KafkaSettings
from streams.connection import client_options
from streams.tasks import begun, closed

T = TypeVar("T")

MAX_REQUEST_BYTES = 16 << 20
BATCH_BYTES = 512 << 10
REQUEST_TIMEOUT_MS = 30_000
RECORDS_AT_ONCE = 256
"""Between two turns of the event loop, while reading a range."""


def connection(kafka: KafkaSettings) -> dict[str, Any]:
    """Address, security and patience, for any client."""
    return client_options(kafka) | {"request_timeout_ms": REQUEST_TIMEOUT_MS}


def idempotent_producer(kafka: KafkaSettings) -> Any:
    """The producer that events, recommendations, signals and dead letters share."""
    return AIOKafkaProducer(
        **connection(kafka),
        enable_idempotence=True,
        acks="all",
        linger_ms=kafka.linger_ms,
        max_batch_size=BATCH_BYTES,
        max_request_size=MAX_REQUEST_BYTES,
    )


def transactional_producer(kafka: KafkaSettings, transactional_id: str) -> Any:
    """The producer of one partition's state: starting it fences the one before it."""
    return AIOKafkaProducer(
        **connection(kafka),
        transactional_id=transactional_id,
        acks="all",
        transaction_timeout_ms=10_000,
        max_batch_size=BATCH_BYTES,
        max_request_size=MAX_REQUEST_BYTES,
    )


@asynccontextmanager
async def reader(
    kafka: KafkaSettings, *, committed: bool = False, fetch_bytes: int = 8 << 20
) -> AsyncIterator[Any]:
    """A consumer without a group, for reading partitions from place to place.

    Parameters
    ----------
    committed
        Skip records of transactions that were not committed.
    fetch_bytes
        At most so much at once (a larger record still comes).
    """
    consumer = AIOKafkaConsumer(
        **connection(kafka),
        isolation_level="read_committed" if committed else "read_uncommitted",
        auto_offset_reset="none",
        enable_auto_commit=False,
        fetch_max_wait_ms=20,
        max_partition_fetch_bytes=fetch_bytes,
    )
    await connect(consumer)
    try:
        await asyncio.sleep(0)  # its task must have begun: stopped before that, it raises CancelledError
        yield consumer
    finally:
        await closed(consumer.stop())


@asynccontextmanager
async def admin(kafka: KafkaSettings) -> AsyncIterator[Any]:
    """An admin client."""
    client = AIOKafkaAdminClient(**connection(kafka))
    await _open(client.start(), client.close, f"kafka.bootstrap: {kafka.bootstrap}: no broker answers")
    client._send_request = _telling(client._send_request)  # noqa: SLF001  as for consumers
    try:
        yield client
    finally:
        await closed(client.close())


async def insist(ask: Callable[[], Awaitable[T]], *, seconds: float = 20.0) -> T:
    """Ask again while the broker says that it is not ready yet (a coordinator that moves or is new)."""
    try:
        return await patiently(ask, seconds=seconds, again=_is_retriable)
    except KafkaError as error:
        raise UnavailableError(f"the broker does not answer ({error!r})") from error


def _is_retriable(error: Exception) -> bool:
    return isinstance(error, KafkaError) and bool(error.retriable)


def _is_not_fenced(error: Exception) -> bool:
    return not any(isinstance(e, ProducerFenced | InvalidProducerEpoch) for e in (error, error.__cause__))


async def patiently(
    ask: Callable[[], Awaitable[T]],
    *,
    seconds: float = 10.0,
    again: Callable[[Exception], bool] = _is_not_fenced,
) -> T:
    """Ask from the beginning after a broker did not answer: one connection that breaks fells nobody.

    Some errors of a broken connection come out of the client as errors that it will not try again after
    (while it looks for a coordinator).  Being fenced is none of them: trying again would fence the other.

    Raises
    ------
    UnavailableError, KafkaError
        What the last attempt raised, when the time is over.
    """
    deadline = monotonic() + seconds
    while True:
        try:
            return await ask()
        except (KafkaError, UnavailableError) as error:
            if not again(error) or monotonic() > deadline:
                raise
        await asyncio.sleep(0.2)


def _telling(send: Callable[..., Awaitable[Any]]) -> Callable[..., Awaitable[Any]]:
    """A client's way to send requests, which raises where it would take an error for a group without offsets.

    Since the second version of its answer, a coordinator that moves or loads tells so for the group and names
    no topics; aiokafka 0.14.0 looks for errors at topics only.
    """

    async def told(request: Any, *args: Any, **options: Any) -> Any:
        answer = await send(request, *args, **options)
        if isinstance(request, OffsetFetchRequest) and (code := getattr(answer, "error_code", 0)):
            raise for_code(code)
        return answer

    return told


def tell_moved(coordinator: Any) -> None:
    """Make the coordinator of an ``AIOKafkaConsumer`` look for itself again when offsets are elsewhere."""
    send = _telling(coordinator._send_req)  # noqa: SLF001  there is no public way to see the answer

    async def sent(request: Any) -> Any:
        try:
            return await send(request)
        except (NotCoordinatorForGroupError, GroupCoordinatorNotAvailableError):
            coordinator.coordinator_dead()
            raise

    coordinator._send_req = sent  # noqa: SLF001


async def connect(client: Any) -> None:
    """Start a client, or leave nothing of it behind; an unreachable broker is named."""
    await _open(client.start(), client.stop, "no broker answers")


async def _open(
    start: Coroutine[Any, Any, object], close: Callable[[], Awaitable[object]], words: str
) -> None:
    try:
        await begun(start)
    except BaseException as error:  # cancelled, too: its sockets must not outlive it
        await closed(close())
        if isinstance(error, KafkaError):
            raise UnavailableError(f"{words} ({error!r})") from error
        raise


async def read_range(
    consumer: Any, topic: str, partition: int, start: int, end: int, *, exact: bool = False
) -> AsyncIterator[Any]:
    """Records of ``start <= offset < end`` that are still there.

    Ends at ``end`` even where control markers hold the last offsets.  ``end`` is the end of the log as
    ``end_offsets`` told it; if the first fetch knows of a later end, that counts: not every broker tells
    it rightly when a batch has just landed.

    Parameters
    ----------
    exact
        Never read past ``end``.
    """
    tp = TopicPartition(topic, partition)
    consumer.assign([tp])
    consumer.seek(tp, start)
    first = not exact
    while await consumer.position(tp) < end:
        got = await consumer.getmany(tp, timeout_ms=500)
        if first:
            end, first = max(end, consumer.highwater(tp) or 0), False
        for records in got.values():
            for n, record in enumerate(records, 1):
                if record.offset >= end:
                    return
                yield record
                if n % RECORDS_AT_ONCE == 0:
                    await asyncio.sleep(0)
