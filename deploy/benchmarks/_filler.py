"""Another process that fills a topic: its work is not measured, and it is ready before the clock starts."""

import asyncio
import multiprocessing
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from functools import lru_cache
from time import time_ns
from typing import NamedTuple

import msgspec
import numpy as np

from schemas.events import Click, Source, encode_event
from schemas.ids import partition_of
from schemas.settings import Settings
from schemas.topics import Topic
from streams.kafka import idempotent_producer
from streams.provision import provision
from streams.writer import LogWriter, Outgoing


class Load(NamedTuple):
    """Clicks to write.

    Parameters
    ----------
    topic
        ``clicks``, or ``events`` for canonical ones.
    clicks, people, items
        How many clicks, by whom and about what; each of the first ``people`` is another person's.
    first
        Number of the first click: later loads go on where this one ends.
    """

    topic: Topic
    clicks: int
    people: int
    items: int
    first: int = 0


def records(load: Load, partitions: int) -> list[list[Outgoing]]:
    """The load by partition: messages anywhere, canonical events where their person lives."""
    rng = np.random.default_rng(load.first)
    numbers = range(load.first, load.first + load.clicks)
    users = [
        n if n < load.people else int(u)
        for n, u in zip(numbers, rng.integers(load.people, size=load.clicks), strict=True)
    ]
    items = rng.integers(load.items, size=load.clicks).tolist()
    out: list[list[Outgoing]] = [[] for _ in range(partitions)]
    where = lru_cache(maxsize=None)(lambda user: partition_of(user, partitions))
    now, encode = time_ns() // 1_000_000, msgspec.json.Encoder().encode
    for n, u, i in zip(numbers, users, items, strict=True):
        user, item, event_id = f"user-{u}", f"item-{i}", f"click-{n}"
        if load.topic is Topic.EVENTS:
            source = Source("clicks", 0, 0, n)
            click = Click(event_id=event_id, user_id=user, item_id=item, ts=now, source=source)
            out[where(user)].append(Outgoing(user.encode(), encode_event(click)))
        else:
            value = encode({"event_id": event_id, "user_id": user, "item_id": item, "ts": now})
            out[n % partitions].append(Outgoing(user.encode(), value))
    return out


async def fill(settings: Settings, load: Load) -> None:
    """Provision, and write a load."""
    await _write(settings, load.topic, records(load, settings.kafka.partitions))


async def _write(settings: Settings, topic: Topic, prepared: list[list[Outgoing]]) -> None:
    await provision(settings)
    async with idempotent_producer(settings.kafka) as producer:
        writer = LogWriter(producer, settings.kafka.topic(topic), max_bytes=1 << 30)
        await asyncio.gather(*(writer.put(p, rows) for p, rows in enumerate(prepared)))
        await writer.stop()


_prepared: list[list[Outgoing]] = []


def _prepare(settings: Settings, load: Load) -> None:
    if settings.kafka.dialect == "tansu":
        from deploy.embedded.compat import install  # noqa: PLC0415  an optional extra

        install()
    _prepared[:] = records(load, settings.kafka.partitions)


def _deliver(settings: Settings, topic: Topic) -> None:
    asyncio.run(_write(settings, topic, _prepared))


class Filler:
    """Holds a load in another process until it is told to deliver."""

    def __init__(self, pool: ProcessPoolExecutor, settings: Settings, load: Load) -> None:
        self._pool, self._settings, self._load = pool, settings, load
        self._ready = pool.submit(_prepare, settings, load)

    async def deliver(self) -> None:
        """Write it; returns when all of it has landed."""
        await asyncio.wrap_future(self._pool.submit(_deliver, self._settings, self._load.topic))

    async def ready(self) -> None:
        """Wait until it is made."""
        await asyncio.wrap_future(self._ready)


@contextmanager
def filler(settings: Settings, load: Load) -> Iterator[Filler]:
    """A filler that is making its load."""
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
        yield Filler(pool, settings, load)
