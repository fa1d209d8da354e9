"""Intake alone: producers' messages to canonical events, per CPU-second, against a plain consumer loop."""

import asyncio
from collections.abc import Mapping

from deploy.benchmarks import _broker
from deploy.benchmarks._broker import Counting, Stopwatch, clicks, deliver, deployment, plain, preload, worker
from deploy.benchmarks.base import BenchArgs, BenchResult, repeat
from schemas.settings import Settings
from schemas.topics import Topic

OPTIONS = _broker.OPTIONS


def run(args: BenchArgs) -> BenchResult:
    """Measure."""
    count = 20_000 if args.short else args.whole("events")

    def measure() -> Mapping[str, float]:
        with deployment(args) as settings:
            return asyncio.run(compare(args, settings, count))

    found = repeat(measure, args.runs)
    ours = {k: v for k, v in found.items() if not k.startswith("plain_")}
    peer = {"events_per_core_second": found["plain_events_per_core_second"]}
    return BenchResult(bench="intake", figures=ours, against={"aiokafka + msgspec": peer})


async def compare(args: BenchArgs, settings: Settings, count: int) -> Mapping[str, float]:
    """The worker and its peer over the same records; the first tenth warms the worker up."""
    warm = count // 10
    await preload(settings, Topic.CLICKS, clicks(args, warm, seed=2))
    counting = Counting()
    async with worker(settings, counting, frozenset({"intake"})) as app:
        await counting.until(read=warm)
        await app.runtime.intake.drained()
        watch = Stopwatch()
        await deliver(args, settings, count, seed=1)
        await counting.until(read=warm + count)
        await app.runtime.intake.drained()
        ours = watch.read()
    peer = await plain(settings, Topic.CLICKS, warm + count)
    per_event = peer.cpu / (warm + count)
    return {
        "events_per_core_second": count / ours.cpu,
        "ratio_to_plain": per_event * count / ours.cpu,
        "plain_events_per_core_second": 1 / per_event,
    }
