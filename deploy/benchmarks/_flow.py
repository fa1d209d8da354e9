"""What the benchmarks of latency share: a worker and a relay in processes of their own, seen from outside."""

import asyncio
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from time import perf_counter, time_ns
from typing import Any, NamedTuple
from urllib.request import urlopen

import msgspec
import numpy as np
from aiokafka import AIOKafkaConsumer, TopicPartition
from prometheus_client.parser import text_string_to_metric_families

from deploy.benchmarks.base import BenchArgs
from deploy.process import free_port, spawn, stop
from deploy.supervisor import to_toml
from schemas.errors import UnavailableError
from schemas.settings import Settings
from schemas.topics import Topic, topic_name
from streams.connection import consumer_options
from streams.kafka import idempotent_producer
from streams.provision import provision

HISTOGRAM = "streamwise_event_to_recommendation_seconds"
SHED, REPLACED = "streamwise_shed_triggers_total", "superseded"
TAIL_SECONDS = 10.0
"""How long the last lists may take, where nothing else is said."""
SETTLED = 1.0
"""Seconds at the start of a window that do not count: clients connect."""
TICK = 0.002


class Message(NamedTuple):
    """One message of a producer: ``cause`` is what the list that answers it will name."""

    topic: Topic
    partition: int | None
    user: str
    value: bytes
    cause: str


Make = Callable[[int, int], Message]
"""(number, time in ms) → message."""


class Flow(NamedTuple):
    """What went in and what came out, by cause: seconds of ``perf_counter``, in the order of sending."""

    sent: dict[str, float]
    user: dict[str, str]
    seen: dict[str, float]

    def times(self, after: float) -> "np.ndarray[Any, np.dtype[np.float64]]":
        """Milliseconds from sending to reading, of what was sent after a time and was answered by itself."""
        return (
            np.array([self.seen[c] - t for c, t in self.sent.items() if t >= after and c in self.seen]) * 1e3
        )

    def lost(self) -> int:
        """Events that neither their own list answers nor that of a later event of the same person."""
        answered: set[str] = set()
        lost = 0
        for cause in reversed(self.sent):
            if cause in self.seen:
                answered.add(self.user[cause])
            lost += self.user[cause] not in answered
        return lost

    def left_out(self) -> int:
        """People whose newest event no list answers: whoever has lost one has lost that one.

        Examples
        --------
        >>> Flow({"first": 0.0, "second": 1.0}, {"first": "u", "second": "u"}, {"first": 0.5}).left_out()
        1
        """
        newest = {self.user[cause]: cause for cause in self.sent}
        return sum(cause not in self.seen for cause in newest.values())


async def furnish(args: BenchArgs, settings: Settings) -> None:
    """Topics and a catalogue."""
    await provision(settings)
    topic = topic_name(Topic.ITEMS, settings.kafka.namespace)
    async with idempotent_producer(settings.kafka) as producer:
        for n in range(args.whole("items")):
            body = msgspec.json.encode({"item_id": f"item-{n}", "title": f"thing {n}"})
            await producer.send(topic, body, key=f"item-{n}".encode())
        await producer.flush()


def observed(settings: Settings) -> Settings:
    """The same with ``/metrics`` on a free port."""
    api = msgspec.structs.replace(settings.api, metrics_port=free_port())
    return msgspec.structs.replace(settings, api=api)


@contextmanager
def streaming(settings: Settings) -> Iterator["subprocess.Popen[bytes]"]:
    """A worker in a process of its own."""
    with tempfile.TemporaryDirectory() as directory:
        file = Path(directory) / "settings.toml"
        file.write_text(to_toml(msgspec.to_builtins(settings)), "utf-8")
        process = spawn([sys.executable, "-m", "deploy.cli", "stream", "--settings", str(file)])
        try:
            yield process
        finally:
            stop(process, seconds=15)


@contextmanager
def relaying(settings: Settings, *hops: Topic) -> Iterator["subprocess.Popen[bytes]"]:
    """The peer in a process of its own: copies each topic to the next."""
    with tempfile.TemporaryDirectory() as directory:
        file = Path(directory) / "kafka.json"
        file.write_bytes(msgspec.json.encode(settings.kafka))
        process = spawn([sys.executable, "-m", "deploy.benchmarks._relay", str(file), *hops])
        try:
            yield process
        finally:
            stop(process, seconds=5)


def cpu_seconds(pid: int) -> float:
    """What a process has used so far, all threads."""
    fields = Path(f"/proc/{pid}/stat").read_text("utf-8").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


async def drive(
    settings: Settings,
    make: Make,
    *,
    rate: float,
    seconds: float,
    tail: float = TAIL_SECONDS,
    on_settled: Callable[[], None] = lambda: None,
) -> Flow:
    """Send at an even pace, read what comes out, and wait for the last of it.

    Parameters
    ----------
    tail
        How long, in seconds.
    on_settled
        Called, on a thread of its own, ``SETTLED`` seconds after the start.
    """
    sent: dict[str, float] = {}
    user: dict[str, str] = {}
    seen: dict[str, float] = {}
    flow = Flow(sent, user, seen)
    reading = asyncio.create_task(read(settings, seen, began := asyncio.Event()))
    await began.wait()
    async with idempotent_producer(settings.kafka) as producer:
        started = perf_counter()
        looking = asyncio.create_task(_after_settling(on_settled))
        for n in range(round(rate * seconds)):
            if started + n / rate > perf_counter():
                await asyncio.sleep(max(TICK, started + n / rate - perf_counter()))
            message = make(n, time_ns() // 1_000_000)
            sent[message.cause], user[message.cause] = perf_counter(), message.user
            topic = topic_name(message.topic, settings.kafka.namespace)
            await producer.send(topic, message.value, key=message.user.encode(), partition=message.partition)
        await producer.flush()
        ended = perf_counter()
        while flow.lost() and perf_counter() < ended + tail:  # noqa: ASYNC110  not an event: what is read
            await asyncio.sleep(0.2)
    for task in (reading, looking):
        task.cancel()
    await asyncio.gather(reading, looking, return_exceptions=True)
    return flow


async def _after_settling(tell: Callable[[], None]) -> None:
    await asyncio.sleep(SETTLED)
    await asyncio.to_thread(tell)


async def alive(settings: Settings, make: Make, *processes: "subprocess.Popen[bytes]") -> None:
    """Send until something comes out at the other end of these processes."""
    while not (await drive(settings, make, rate=2.0, seconds=1.0)).seen:
        refuse_dead(*processes)


def refuse_dead(*processes: "subprocess.Popen[bytes]") -> None:
    """See that all of them run: nothing comes out of others.

    Raises
    ------
    UnavailableError
        One has ended.
    """
    if ended := [process.returncode for process in processes if process.poll() is not None]:
        raise UnavailableError(f"a process of the benchmark has ended with status {ended[0]}")


class _Answer(msgspec.Struct):
    """What is read of a list, or of a message that a relay copied."""

    trigger_id: str = ""
    event_id: str = ""
    request_id: str = ""

    @property
    def cause(self) -> str:
        return self.trigger_id or self.event_id or self.request_id


async def read(settings: Settings, seen: dict[str, float], began: asyncio.Event) -> None:
    """Note when each list is read first, from now on."""
    decode = msgspec.json.Decoder(_Answer).decode
    name = topic_name(Topic.RECOMMENDATIONS, settings.kafka.namespace)
    async with AIOKafkaConsumer(**consumer_options(settings.kafka)) as consumer:
        partitions = [TopicPartition(name, p) for p in range(settings.kafka.partitions)]
        consumer.assign(partitions)
        await consumer.seek_to_end(*partitions)
        for partition in partitions:
            await consumer.position(partition)
        began.set()
        while True:
            got = await consumer.getmany(timeout_ms=500)
            now = perf_counter()
            for record in (r for records in got.values() for r in records if r.value is not None):
                seen.setdefault(decode(record.value).cause, now)


Histogram = Mapping[float, float]
"""Upper limit of each bucket (seconds) to how many were at or below it."""


def samples(settings: Settings, name: str) -> Iterator[tuple[dict[str, str], float]]:
    """Labels and value of everything that ``/metrics`` of a worker shows now under a name."""
    with urlopen(f"http://{settings.api.host}:{settings.api.metrics_port}/metrics") as answer:
        text = answer.read().decode()
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            if sample.name == name:
                yield sample.labels, sample.value


def histogram(settings: Settings) -> Histogram:
    """The worker's own clock of lists, all rungs together, up to now."""
    counts: dict[float, float] = {}
    for labels, value in samples(settings, f"{HISTOGRAM}_bucket"):
        limit = float(labels["le"])
        counts[limit] = counts.get(limit, 0.0) + value
    return counts


def shed(settings: Settings) -> float:
    """Triggers that a worker has given up so far, those aside that a later one of their person replaced."""
    return sum(value for labels, value in samples(settings, SHED) if labels["reason"] != REPLACED)


def quantile(before: Histogram, after: Histogram, share: float) -> float:
    """Milliseconds that ``share`` of the lists between two looks took at most, to the width of a bucket.

    Examples
    --------
    >>> quantile({}, {0.01: 0, 0.02: 10, float("inf"): 10}, 0.5)
    15.0
    """
    limits = sorted(after)
    counts = [after[le] - before.get(le, 0.0) for le in limits]
    wanted = share * counts[-1]
    low, under = 0.0, 0.0
    for limit, count in zip(limits, counts, strict=True):
        if count >= wanted and count > under:
            inside = (wanted - under) / (count - under)
            return 1000.0 * (low if limit == float("inf") else low + (limit - low) * inside)
        low, under = limit, count
    return float("nan")


def apart(limits: Sequence[float], one: float, other: float) -> int:
    """How many buckets lie between two times in ms: 0 when they fall into the same.

    Examples
    --------
    >>> apart([0.01, 0.02, 0.05], 12, 30)
    1
    """
    places = np.searchsorted(sorted(limits), [one / 1000.0, other / 1000.0])
    return int(abs(places[1] - places[0]))
