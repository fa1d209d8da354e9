"""A deployment under load: its settings, and a generator that writes to its topics."""

import asyncio
import itertools
import time
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Literal
from uuid import uuid4

import msgspec
import numpy as np
from aiokafka import AIOKafkaProducer

from schemas.events import decode_event
from schemas.settings import (
    ExperimentSettings,
    HealthSettings,
    KafkaSettings,
    LearnerSettings,
    ListSettings,
    PolicySettings,
    Settings,
    UserSettings,
)
from schemas.signals import decode_block
from schemas.topics import Topic
from streams.app import wall_clock
from streams.connection import client_options
from streams.provision import provision
from tests.faults.oracle import Sent
from tests.faults.stored import stored
from tests.streams.clients.room import read, tail, write

USERS, ITEMS, REQUEST_EVERY = 500, 40, 20
NAMES_ITS_LIST = 0.5
"""Share of events of people with a list that are about an item of it, and name it."""
AGAIN_WITHIN = 40
"""A record that is written twice comes again within so many others."""
PATIENCE_MS = 180_000
"""Producers of the load outlast every fault: what they sent is acknowledged in the end, or the test fails."""

Message = tuple[Topic, bytes, bytes]


def patient_producer(kafka: KafkaSettings, *, idempotent: bool = True) -> Any:
    """A producer that sends again until it is acknowledged by all; without idempotence some arrives twice."""
    return AIOKafkaProducer(
        **client_options(kafka),
        acks="all",
        enable_idempotence=idempotent,
        linger_ms=5,
        request_timeout_ms=PATIENCE_MS,
    )


async def deployment(broker: KafkaSettings, directory: Path) -> Settings:
    """A deployment of its own, with topics and items: checkpoints often, decisions with their context.

    ``broker.partitions`` counts; its namespace and group do not.
    """
    name = f"kill{uuid4().hex[:6]}"
    settings = Settings(
        kafka=msgspec.structs.replace(broker, namespace=name, group=name),
        users=UserSettings(checkpoint_seconds=0.5),
        lists=ListSettings(publish="requests"),
        policy=PolicySettings(context_share=1.0),
        experiment=ExperimentSettings(holdout=0.0),
        learner=LearnerSettings(directory=str(directory / "snapshots"), snapshot_seconds=2.0),
        health=HealthSettings(heartbeat_seconds=1.0),
    )
    await provision(settings)
    items = [
        (f"i{n}".encode(), msgspec.json.encode({"item_id": f"i{n}", "title": f"thing {n}"}))
        for n in range(ITEMS)
    ]
    await write(settings.kafka, Topic.ITEMS, items)
    return settings


def never_hung(settings: Settings) -> Settings:
    """The same where no watchdog ends a process: a zombie stands for as long as its heir takes to serve."""
    health = msgspec.structs.replace(settings.health, hung_seconds=0)
    return msgspec.structs.replace(settings, health=health)


class Share(asyncio.Event):
    """Set when a share is written, or when writing failed: whoever waits is told why."""

    failure: Exception | None = None

    def fail(self, failure: Exception) -> None:
        """Nobody writes any more."""
        self.failure = failure
        self.set()

    async def wait(self) -> Literal[True]:
        """Return when the share is written."""
        await super().wait()
        if self.failure is not None:
            raise self.failure
        return True


class Generator:
    """Writes unique events, in order per person: a share of them for each fault, and a trickle after it.

    Parameters
    ----------
    again
        Share of the records that are written twice, the second time behind later ones.
    name
        Begins the names of its events and people: generators beside each other have different ones.
    """

    request_every = REQUEST_EVERY

    def __init__(
        self, settings: Settings, seed: int, *, again: float = 0.0, users: int = USERS, name: str = ""
    ) -> None:
        self.settings = settings
        self.random = np.random.default_rng(seed)
        self.names = {t: settings.kafka.topic(t) for t in Topic}
        self.sent = Sent(seed=seed)
        self.count = 0
        self.newest: deque[Message] = deque(maxlen=1000)
        self._name = name
        self._again = again
        self._users = users
        self._late: dict[int, list[Message]] = {}
        self.share_written = Share()
        self.lists: dict[str, tuple[str, list[str]]] = {}
        self.answered: set[str] = set()

    def twin(self, name: str) -> "Generator":
        """Another one for the same deployment, with people of its own; what is sent and seen is shared."""
        seed = int(self.random.integers(2**31))
        twin = Generator(self.settings, seed, again=self._again, users=self._users, name=name)
        twin.sent, twin.lists, twin.answered = self.sent, self.lists, self.answered
        return twin

    def message(self) -> Message:
        """The next message: a click, a purchase, or a request."""
        n, self.count = self.count, self.count + 1
        user = self.user()
        body = {"event_id": f"{self._name}e{n}", "user_id": user, "ts": self.time_of(n)}
        if n % self.request_every == 0:
            self.sent.requests.add(body["event_id"])
            return Topic.REQUESTS, user.encode(), msgspec.json.encode(body | {"k": 5})
        self.sent.interactions[body["event_id"]] = user
        topic = Topic.PURCHASES if user[-1] in "02468" else Topic.CLICKS
        return topic, user.encode(), msgspec.json.encode(body | self._about(user))

    def user(self) -> str:
        """Whose the next message is."""
        return f"{self._name}u{self.random.integers(self._users)}"

    def time_of(self, number: int) -> int:
        """The time that a message carries, ms."""
        return wall_clock()

    def _about(self, user: str) -> dict[str, str]:
        item, of_list, place = self.random.integers(ITEMS), self.random.random(), self.random.random()
        made, items = self.lists.get(user, ("", []))
        if not items or of_list >= NAMES_ITS_LIST:
            return {"item_id": f"i{item}"}
        return {"item_id": items[int(place * len(items))], "decision_id": made}

    async def write(self, producer: Any, count: int, seconds: float, *, rate: float = 20.0) -> None:
        """An even share, then ``rate`` a second until cancelled; one topic per person gives an order."""
        self.share_written.clear()
        try:
            await self._write(producer, count, seconds, rate)
        except Exception as failure:
            self.share_written.fail(failure)
            raise

    async def _write(self, producer: Any, count: int, seconds: float, rate: float) -> None:
        started = time.monotonic()
        for n in itertools.count():
            if n == count:
                self.share_written.set()
            await self.send(producer, self.message())
            due = n / count * seconds if n < count else seconds + (n - count) / rate
            if (ahead := due - (time.monotonic() - started)) > 0.01:
                await asyncio.sleep(ahead)

    async def send(self, producer: Any, message: Message) -> None:
        """Append a message, and repeats of former ones whose turn it is."""
        self.newest.append(message)
        if self._again and self.random.random() < self._again:
            at = self.count + int(self.random.integers(1, AGAIN_WITHIN))
            self._late.setdefault(at, []).append(message)
        await self._append(producer, message)
        for again in self._late.pop(self.count, ()):
            await self._append(producer, again)

    async def _append(self, producer: Any, message: Message) -> None:
        topic, key, value = message
        try:
            sent = await producer.send(self.names[topic], value, key=key)
        except asyncio.CancelledError:  # while it waited for room: it was not taken
            if message is self.newest[-1]:
                event_id = msgspec.json.decode(value)["event_id"]
                self.sent.interactions.pop(event_id, None)
                self.sent.requests.discard(event_id)
            raise
        sent.add_done_callback(self._heard)

    def _heard(self, sent: "asyncio.Future[Any]") -> None:
        if sent.cancelled() or sent.exception() is not None:
            self.sent.refused.append(repr(None if sent.cancelled() else sent.exception()))
        else:
            self.sent.acknowledged += 1

    async def replay(self, producer: Any) -> int:
        """Write the newest thousand messages once more, as somebody does who reads a file twice."""
        for topic, key, value in list(self.newest):
            await (await producer.send(self.names[topic], value, key=key))
        return len(self.newest)

    async def see_lists(self) -> None:
        """Read what is recommended, for ever: people answer their newest list."""
        async with tail(self.settings.kafka, Topic.RECOMMENDATIONS) as (consumer, partitions):
            await consumer.seek_to_beginning(*partitions)
            while True:
                for run in (await consumer.getmany(timeout_ms=100)).values():
                    for record in run:
                        if record.value is not None:  # a heartbeat
                            self._see(msgspec.json.decode(record.value))

    def _see(self, made: dict[str, Any]) -> None:
        self.lists[made["user_id"]] = made["decision_id"], [item["item_id"] for item in made["items"]]
        self.answered.add(made["trigger_id"])


@asynccontextmanager
async def in_background(*works: Any) -> AsyncIterator[list["asyncio.Task[Any]"]]:
    """Tasks that are cancelled at the end, unless they failed: then so does the test."""
    tasks = [asyncio.ensure_future(w) for w in works]
    try:
        yield tasks
    finally:
        for task in tasks:
            task.cancel()
        for end in await asyncio.gather(*tasks, return_exceptions=True):
            if isinstance(end, Exception):
                raise end


async def finished(generator: Generator) -> bool:
    """Whether every interaction has a row and every request an answer."""
    return not await unfinished(generator)


async def unfinished(generator: Generator) -> str:
    """Which interactions have no row and which requests no answer, in words; empty when all have."""
    kafka, offsets = generator.settings.kafka, set()
    for record in await read(kafka, Topic.SIGNALS):
        block = decode_block(record.value)
        offsets |= {(block.cover.partition, o) for o in block.interactions.offset.tolist()}
    answered = {
        msgspec.json.decode(r.value)["trigger_id"]
        for r in await read(kafka, Topic.RECOMMENDATIONS)
        if r.value is not None  # a heartbeat
    }
    rows = len(generator.sent.interactions) - len(offsets)
    unanswered = sorted(generator.sent.requests - answered)
    if rows <= 0 and not unanswered:
        return ""
    refused = f"the producer was refused {len(generator.sent.refused)}: {generator.sent.refused[:3]}"
    return f"{rows} interactions have no row; no answer to {len(unanswered)}: {unanswered[:5]}; {refused}"


async def checkpointed(generator: Generator) -> bool:
    """Whether every interaction in the log is in the state of its partition."""
    kafka = generator.settings.kafka
    last = {
        r.partition: r.offset
        for r in await read(kafka, Topic.EVENTS)
        if hasattr(decode_event(r.value), "item_id")
    }
    states = await stored(kafka)
    return all(p in states and states[p].applied >= offset for p, offset in last.items())
