"""Reads our own topics into the live view: no group, no commits, from the tails."""

import asyncio
import logging
from collections.abc import Callable, Mapping

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import KafkaError

from deploy.api.live import LiveView
from schemas.errors import UnavailableError
from schemas.heartbeats import Heartbeat
from schemas.settings import KafkaSettings
from schemas.topics import Topic
from streams.connection import consumer_options
from streams.kafka import admin
from streams.tasks import begun, closed

log = logging.getLogger(__name__)

TAILS: Mapping[Topic, int | None] = {
    Topic.ITEMS: None,
    Topic.EVENTS: 2_000,
    Topic.RECOMMENDATIONS: 2_000,
    Topic.SIGNALS: 500,
    Topic.CAUSAL_REPORTS: None,
}
"""How many records of each partition are read at the start; None: from the beginning."""

RETRY_SECONDS = 1.0
POLL_MS = 200
MAX_RECORDS = 2_000


class LiveReader:
    """Follows our topics for as long as it runs; topics that do not exist yet join when they appear.

    Parameters
    ----------
    clock
        Milliseconds since the epoch.
    """

    def __init__(self, view: LiveView, settings: KafkaSettings, clock: Callable[[], int]) -> None:
        self._view = view
        self._clock = clock
        self._names = {settings.topic(topic): topic for topic in TAILS}
        self._settings = settings
        self._missing: set[str] = set(self._names)
        self._next: dict[TopicPartition, int] = {}
        self._trouble: str | None = "has not connected yet"

    def ready(self) -> str | None:
        """None when all topics are being read, else why not."""
        if self._trouble:
            return self._trouble
        return f"topics do not exist yet: {', '.join(sorted(self._missing))}" if self._missing else None

    async def run(self) -> None:
        """Read until cancelled; a broker that is away is asked again each second."""
        while True:
            consumer = AIOKafkaConsumer(**consumer_options(self._settings))
            try:
                await begun(consumer.start())
                await self._follow(consumer)
            except (KafkaError, OSError, UnavailableError) as error:
                self._trouble = f"broker: {error!r}"
                log.warning("the live view lost the broker and tries again: %r", error)
            finally:
                await closed(consumer.stop())
            await asyncio.sleep(RETRY_SECONDS)

    async def _follow(self, consumer: AIOKafkaConsumer) -> None:
        asked = 0.0
        loop = asyncio.get_running_loop()
        self._assign(consumer)
        while True:
            if self._missing and loop.time() - asked >= RETRY_SECONDS:
                asked = loop.time()
                await self._join(consumer)
            if not self._next:
                await asyncio.sleep(RETRY_SECONDS / 4)
                continue
            self._trouble = None
            fetched = await consumer.getmany(timeout_ms=POLL_MS, max_records=MAX_RECORDS)
            for partition, records in fetched.items():
                self._next[partition] = records[-1].offset + 1
                topic = self._names[partition.topic]
                now = self._clock()
                for record in records:
                    if record.value is None and (beat := Heartbeat.of(record.headers)) is not None:
                        self._view.observer.on_heartbeat("readers", partition.topic, *beat)
                        continue
                    self._view.take(topic, record.key, record.value, record.timestamp, now)
            await asyncio.sleep(0)

    def _assign(self, consumer: AIOKafkaConsumer) -> None:
        """(Re)assign everything that is known: an assignment replaces the former one, positions included."""
        if self._next:
            consumer.assign(list(self._next))
            for partition, offset in self._next.items():
                consumer.seek(partition, offset)

    async def _join(self, consumer: AIOKafkaConsumer) -> None:
        """Begin to read the topics that exist by now, each from its tail."""
        async with admin(self._settings) as client:
            described = {d["topic"]: d["partitions"] for d in await client.describe_topics()}
        found = {name for name in self._missing if described.get(name)}
        if not found:
            return
        new = [TopicPartition(name, d["partition"]) for name in sorted(found) for d in described[name]]
        first = await consumer.beginning_offsets(new)
        last = await consumer.end_offsets(new)
        for partition in new:
            tail = TAILS[self._names[partition.topic]]
            self._next[partition] = (
                first[partition] if tail is None else max(first[partition], last[partition] - tail)
            )
        self._assign(consumer)
        self._missing -= found
