"""The peer that Faust's own documentation describes: an agent, JSON values, a Table, an event at a time."""

import asyncio
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from uuid import uuid4

import faust

from deploy.benchmarks._broker import Effort, Stopwatch
from schemas.settings import KafkaSettings, Settings
from schemas.topics import Topic

WARM = 500
PATIENCE_SECONDS = 120.0
"""For an app to start and to do its work: at times stock Faust stands still."""


class Progress:
    """Counts events and says when enough are done."""

    def __init__(self) -> None:
        self.done = 0
        self._changed = asyncio.Event()

    def add(self) -> None:
        """One more."""
        self.done += 1
        self._changed.set()

    async def until(self, count: int) -> None:
        """Wait for so many."""
        while self.done < count:
            self._changed.clear()
            await self._changed.wait()


@contextmanager
def stock_app(kafka: KafkaSettings, topic: str, progress: Progress) -> Iterator[Any]:
    """A stock app that counts each person's events in a Table kept in memory."""
    with tempfile.TemporaryDirectory() as directory:
        app = faust.App(
            id=f"stock-{uuid4().hex[:8]}",
            broker=";".join(f"kafka://{host}" for host in kafka.bootstrap.split(",")),
            broker_session_timeout=kafka.session_seconds,
            broker_heartbeat_interval=kafka.session_seconds / 6,
            broker_request_timeout=40.0,
            processing_guarantee="at_least_once",
            store="memory://",
            topic_partitions=kafka.partitions,
            topic_disable_leader=True,
            web_enabled=False,
            datadir=directory,
        )
        counts = app.Table("counts", default=int, partitions=kafka.partitions)

        @app.agent(app.topic(topic, value_serializer="json"))  # type: ignore[untyped-decorator]
        async def count(stream: Any) -> None:
            async for event in stream:
                counts[event["user_id"]] += 1
                progress.add()

        yield app


async def stock(settings: Settings, count: int) -> Effort:
    """What ``count`` canonical events cost, after the first ``WARM``; if an app stands still, another's."""
    try:
        return await _once(settings, count)
    except TimeoutError:
        return await _once(settings, count)


async def _once(settings: Settings, count: int) -> Effort:
    progress = Progress()
    topic = settings.kafka.topic(Topic.EVENTS)
    with stock_app(settings.kafka, topic, progress) as app:
        app.finalize()
        try:
            async with asyncio.timeout(PATIENCE_SECONDS):
                await app.start()
                return await _measured(progress, count)
        finally:
            await app.stop()


async def _measured(progress: Progress, count: int) -> Effort:
    await progress.until(WARM)
    watch, before = Stopwatch(), progress.done
    await progress.until(before + count)
    return watch.read()
