"""Loads of an odd shape: a person with a fifth of all events, a burst, and floods of what cannot be read."""

import asyncio
from collections.abc import Iterator
from typing import Any

import msgspec
import numpy as np

from schemas.deadletters import DeadLetter
from schemas.settings import Settings
from schemas.topics import SOURCES, Topic, topic_name
from tests.faults.load import Generator
from tests.faults.oracle import Bytes, Place
from tests.streams.clients.room import read

HOT, HOT_SHARE = "u0", 0.2
HOT_REQUESTS = 30
"""Of the hot person: the plain fold knows no bound on a person's open decisions (32)."""
HUGE = 3 << 19
"""Bytes of a record that is longer than is read (1 MiB)."""
POISONED = (*SOURCES, Topic.ITEMS, Topic.USERS, Topic.EMBEDDINGS)


class Hot(Generator):
    """A fifth of all events are one person's."""

    def __init__(self, settings: Settings, seed: int) -> None:
        super().__init__(settings, seed)
        self.asked = 0
        self.hot = 0

    def user(self) -> str:
        asks = self.count % self.request_every == 1  # of the message that is being made
        if self.random.random() >= HOT_SHARE or (asks and self.asked >= HOT_REQUESTS):
            return next(user for _ in range(1000) if (user := super(Hot, self).user()) != HOT)
        self.hot += 1
        self.asked += asks
        return HOT


class Poison:
    """Writes what cannot be read to every topic that producers write to, and remembers each byte of it."""

    def __init__(self, settings: Settings, seed: int) -> None:
        self._names = [topic_name(topic, settings.kafka.namespace) for topic in POISONED]
        self._random = np.random.default_rng(seed)
        self.sent: dict[Place, Bytes] = {}

    async def flood(self, producer: Any, count: int, huge: int, seconds: float) -> None:
        """``count`` records, ``huge`` of them longer than is read, spread over all topics and the time."""
        for n, value in enumerate(self._values(count, huge)):
            topic, key = self._names[n % len(self._names)], f"poison-{n}".encode()
            landed = await producer.send_and_wait(topic, value, key=key)
            self.sent[topic, landed.partition, landed.offset] = key, value
            await asyncio.sleep(seconds / count)

    def _values(self, count: int, huge: int) -> Iterator[bytes]:
        kinds = [self._noise, self._cut, self._wrong_type, self._deep]
        for n in range(count):
            yield self._huge() if n % (count // huge) == 1 else kinds[n % 4 ^ n // 8 % 4]()

    def _noise(self) -> bytes:
        return b"\xff" + self._random.bytes(int(self._random.integers(1, 400)))

    def _cut(self) -> bytes:
        whole = msgspec.json.encode({"event_id": "poison", "user_id": "u1", "item_id": "i1"})
        return whole[: int(self._random.integers(1, len(whole) - 1))]

    def _wrong_type(self) -> bytes:
        return msgspec.json.encode({"user_id": 7, "item_id": ["i1"], "model": 3})

    def _deep(self) -> bytes:
        return b"[" * 5_000

    def _huge(self) -> bytes:
        return msgspec.json.encode({"user_id": "u1", "item_id": "i1", "title": 7, "note": "x" * HUGE})


async def letters(settings: Settings) -> dict[Place, list[Bytes]]:
    """Every dead letter's key and value by the place where the record came from."""
    found: dict[Place, list[Bytes]] = {}
    for record in await read(settings.kafka, Topic.DEAD_LETTERS):
        why = DeadLetter.from_headers(record.headers)
        found.setdefault((why.topic, why.partition, why.offset), []).append((record.key, record.value))
    return found
