"""Event to list: from a click's timestamp to the read of the list that it triggered, against a relay."""

import asyncio
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from time import perf_counter

import msgspec
import numpy as np
from aiokafka import AIOKafkaConsumer, TopicPartition

from deploy.benchmarks import _broker
from deploy.benchmarks._broker import clicks, deployment
from deploy.benchmarks.base import BenchArgs, BenchResult, repeat
from deploy.process import spawn, stop
from deploy.supervisor import to_toml
from schemas.settings import Settings
from schemas.topics import Topic, topic_name
from streams.connection import consumer_options
from streams.kafka import idempotent_producer
from streams.provision import provision

OPTIONS = _broker.OPTIONS | {"rate": 200, "seconds": 20, "warm": 8}


class _List(msgspec.Struct):
    """What is read of a list or of a relayed click."""

    trigger_id: str = ""
    event_id: str = ""

    @property
    def cause(self) -> str:
        return self.trigger_id or self.event_id


def run(args: BenchArgs) -> BenchResult:
    """Measure."""
    seconds = 5 if args.short else args.whole("seconds")

    def measure() -> Mapping[str, float]:
        with deployment(args, publish="always") as settings:
            asyncio.run(furnish(args, settings))
            with streaming(settings):
                ours = asyncio.run(drive(args, settings, seconds))
        with deployment(args) as settings:
            asyncio.run(furnish(args, settings))
            with relaying(settings):
                peer = asyncio.run(drive(args, settings, seconds))
        ratio = {"ratio_to_relay": ours["p99_ms"] / peer["p99_ms"]}
        return ours | ratio | {f"relay_{name}": value for name, value in peer.items()}

    found = repeat(measure, args.runs)
    ours = {k: v for k, v in found.items() if not k.startswith("relay_")}
    peer = {k.removeprefix("relay_"): v for k, v in found.items() if k.startswith("relay_")}
    return BenchResult(
        bench="latency", figures={"rate": args.number("rate"), **ours}, against={"aiokafka relay": peer}
    )


async def furnish(args: BenchArgs, settings: Settings) -> None:
    """Topics and a catalogue."""
    await provision(settings)
    topic = topic_name(Topic.ITEMS, settings.kafka.namespace)
    async with idempotent_producer(settings.kafka) as producer:
        for n in range(args.whole("items")):
            body = msgspec.json.encode({"item_id": f"item-{n}", "title": f"thing {n}"})
            await producer.send(topic, body, key=f"item-{n}".encode())
        await producer.flush()


@contextmanager
def streaming(settings: Settings) -> Iterator[None]:
    """A worker in a process of its own."""
    with tempfile.TemporaryDirectory() as directory:
        file = Path(directory) / "settings.toml"
        file.write_text(to_toml(msgspec.to_builtins(settings)), "utf-8")
        process = spawn([sys.executable, "-m", "deploy.cli", "stream", "--settings", str(file)])
        try:
            yield
        finally:
            stop(process, seconds=15)


@contextmanager
def relaying(settings: Settings) -> Iterator[None]:
    """The peer in a process of its own."""
    with tempfile.TemporaryDirectory() as directory:
        file = Path(directory) / "kafka.json"
        file.write_bytes(msgspec.json.encode(settings.kafka))
        process = spawn([sys.executable, "-m", "deploy.benchmarks._relay", str(file)])
        try:
            yield
        finally:
            stop(process, seconds=5)


async def drive(args: BenchArgs, settings: Settings, seconds: int) -> dict[str, float]:
    """Send at an even pace, read what comes out; the first ``warm`` seconds after the start are dropped."""
    rate, warm = args.number("rate"), args.whole("warm")
    records = clicks(args, round(rate * (warm + seconds)))
    sent: dict[str, float] = {}
    seen: dict[str, float] = {}
    reading = asyncio.create_task(read(settings, seen))
    async with idempotent_producer(settings.kafka) as producer:
        await alive(producer, settings, seen)
        started = perf_counter()
        for n, record in enumerate(records):
            if (ahead := started + n / rate - perf_counter()) > 0:
                await asyncio.sleep(ahead)
            sent[f"1-{n}"] = perf_counter()
            topic = topic_name(Topic.CLICKS, settings.kafka.namespace)
            await producer.send(topic, record.value, key=record.key)
        await asyncio.sleep(2.0)
    reading.cancel()
    await asyncio.gather(reading, return_exceptions=True)
    measured = [k for k in sent if k in seen and sent[k] >= started + warm]
    times = np.array([seen[k] - sent[k] for k in measured]) * 1000
    return {
        "p50_ms": float(np.percentile(times, 50)),
        "p99_ms": float(np.percentile(times, 99)),
        "answered_share": len(measured) / sum(t >= started + warm for t in sent.values()),
    }


async def alive(producer: object, settings: Settings, seen: dict[str, float]) -> None:
    """Send clicks until the first one comes out at the other end."""
    topic = topic_name(Topic.CLICKS, settings.kafka.namespace)
    number = 0
    while not seen:
        body = {"event_id": f"first-{number}", "user_id": f"first-{number}", "item_id": "item-1"}
        await producer.send_and_wait(topic, msgspec.json.encode(body))  # type: ignore[attr-defined]
        number += 1
        await asyncio.sleep(0.5)


async def read(settings: Settings, seen: dict[str, float]) -> None:
    """Note when each list is read first."""
    decode = msgspec.json.Decoder(_List).decode
    name = topic_name(Topic.RECOMMENDATIONS, settings.kafka.namespace)
    async with AIOKafkaConsumer(**consumer_options(settings.kafka)) as consumer:
        partitions = [TopicPartition(name, p) for p in range(settings.kafka.partitions)]
        consumer.assign(partitions)
        await consumer.seek_to_beginning(*partitions)
        while True:
            got = await consumer.getmany(timeout_ms=500)
            now = perf_counter()
            for records in got.values():
                for record in records:
                    if record.value is None:  # a heartbeat
                        continue
                    seen.setdefault(decode(record.value).cause, now)
