"""What the stream benchmarks share: a broker, a deployment of its own, messages, and a plain peer."""

import asyncio
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from time import perf_counter, process_time, time_ns
from typing import Any, NamedTuple
from uuid import uuid4

import msgspec
import numpy as np
from aiokafka import AIOKafkaConsumer, TopicPartition
from typing_extensions import override  # an aiokafka requirement; typing has it from 3.12

from deploy.benchmarks.base import BenchArgs, Option
from models.engine import Engine
from schemas.errors import UnavailableError
from schemas.events import Event
from schemas.settings import KafkaSettings, LearnerSettings, ListSettings, Settings, UserSettings
from schemas.topics import Topic
from streams.app import Role, StreamApp, create_app, serve
from streams.connection import client_options
from streams.kafka import idempotent_producer
from streams.mapping import IncomingItem
from streams.observer import NullObserver
from streams.provision import provision
from streams.writer import LogWriter, Outgoing

OPTIONS: dict[str, Option] = {
    "bootstrap": "",
    "users": 20_000,
    "items": 2_000,
    "events": 200_000,
    "replication": 1,
}
"""``bootstrap`` of a Kafka; empty starts the embedded broker.  ``replication`` of each topic."""


class Effort(NamedTuple):
    """What something cost."""

    wall: float
    cpu: float


class Stopwatch:
    """Wall and CPU seconds (all threads of this process) since it was made."""

    def __init__(self) -> None:
        self._wall, self._cpu = perf_counter(), process_time()

    def read(self) -> Effort:
        """So far."""
        return Effort(perf_counter() - self._wall, process_time() - self._cpu)


@contextmanager
def deployment(
    args: BenchArgs, *, checkpoint_seconds: float = 1.0, session_seconds: float = 6.0, **lists: Any
) -> Iterator[Settings]:
    """Settings of a new namespace on the broker of the options, lists on request only by default."""
    name = f"bench{uuid4().hex[:8]}"
    options = {
        "namespace": name,
        "group": name,
        "partitions": 4,
        "replication": args.whole("replication"),
        "session_seconds": session_seconds,
    }
    with tempfile.TemporaryDirectory() as directory, broker(args.text("bootstrap")) as kafka:
        yield Settings(
            kafka=msgspec.structs.replace(kafka, **options),
            users=UserSettings(checkpoint_seconds=checkpoint_seconds),
            lists=ListSettings(**({"publish": "requests"} | lists)),
            learner=LearnerSettings(directory=str(Path(directory) / "snapshots")),
        )


@contextmanager
def broker(bootstrap: str) -> Iterator[KafkaSettings]:
    """A running Kafka, or the embedded broker for as long as it is needed."""
    if bootstrap:
        yield KafkaSettings(bootstrap=bootstrap)
        return
    from deploy.embedded.broker import EmbeddedBroker  # noqa: PLC0415  an optional extra
    from deploy.embedded.compat import install  # noqa: PLC0415  as above

    install()
    with EmbeddedBroker() as embedded:
        yield msgspec.convert(embedded.settings(), KafkaSettings)


def clicks(args: BenchArgs, count: int, seed: int = 1) -> list[Outgoing]:
    """Messages of the ``clicks`` topic, by people and about items drawn evenly."""
    rng = np.random.default_rng(seed)
    users = rng.integers(args.whole("users"), size=count).tolist()
    items = rng.integers(args.whole("items"), size=count).tolist()
    now = time_ns() // 1_000_000
    encode = msgspec.json.Encoder().encode
    return [
        Outgoing(
            f"user-{u}".encode(),
            encode({"event_id": f"{seed}-{n}", "user_id": f"user-{u}", "item_id": f"item-{i}", "ts": now}),
        )
        for n, (u, i) in enumerate(zip(users, items, strict=True))
    ]


async def preload(settings: Settings, topic: Topic, records: list[Outgoing]) -> None:
    """Provision, and spread records over the partitions of a topic."""
    await provision(settings)
    count = settings.kafka.partitions
    async with idempotent_producer(settings.kafka) as producer:
        writer = LogWriter(producer, settings.kafka.topic(topic), max_bytes=1 << 30)
        await asyncio.gather(*(writer.put(p, records[p::count]) for p in range(count)))
        await writer.stop()


def refuse_ended(serving: "asyncio.Task[None]") -> None:
    """Raise what a worker of ours ended with, if it has ended: whoever waits for it would wait for ever.

    Raises
    ------
    UnavailableError
        It ended without an error.
    """
    if serving.done():
        serving.result()
        raise UnavailableError("the worker of the benchmark has ended by itself")


class Counting(NullObserver):
    """Counts events and says when enough are done."""

    def __init__(self) -> None:
        self._serving: asyncio.Task[None] | None = None
        self.read = self.applied = self.dead = 0
        self.began = 0.0
        self._changed = asyncio.Event()

    @override
    def on_intake(self, topic: str, messages: int, events: int, clamped: int) -> None:
        if not self.read:
            self.began = perf_counter()
        self.read += messages
        self._changed.set()

    @override
    def on_applied(self, partition: int, events: int, seconds: float) -> None:
        self.applied += events
        self._changed.set()

    def watch(self, serving: "asyncio.Task[None]") -> None:
        """Whoever waits is told when this worker fails."""
        self._serving = serving
        serving.add_done_callback(lambda _: self._changed.set())

    async def until(self, *, read: int = 0, applied: int = 0) -> None:
        """Wait for so many."""
        while self.read < read or self.applied < applied:
            if self._serving is not None:
                refuse_ended(self._serving)
            self._changed.clear()
            await self._changed.wait()


@asynccontextmanager
async def worker(settings: Settings, observer: Counting, roles: frozenset[Role]) -> AsyncIterator[StreamApp]:
    """An event process inside this one; it fails when the worker fails."""
    app = create_app(settings, Engine.of(settings), observer=observer, roles=roles)
    stop = asyncio.Event()
    task = asyncio.create_task(serve(app, stop))
    observer.watch(task)
    try:
        yield app
    finally:
        stop.set()
        await task


async def plain(settings: Settings, topic: Topic, count: int) -> Effort:
    """The peer: aiokafka ``getmany`` and msgspec over the same records, and nothing else."""
    name = settings.kafka.topic(topic)
    kind: Any = Event if topic is Topic.EVENTS else IncomingItem
    decode = msgspec.json.Decoder(kind).decode
    partitions = [TopicPartition(name, p) for p in range(settings.kafka.partitions)]
    async with AIOKafkaConsumer(
        **client_options(settings.kafka), enable_auto_commit=False, max_partition_fetch_bytes=4 << 20
    ) as consumer:
        consumer.assign(partitions)
        await consumer.seek_to_beginning(*partitions)
        watch, done = Stopwatch(), 0
        while done < count:
            for records in (await consumer.getmany(timeout_ms=1000)).values():
                for record in records:
                    decode(record.value)
                done += len(records)
        return watch.read()
