"""Intake alone: producers' messages to canonical events, per CPU-second, against a plain consumer loop."""

import asyncio
from collections.abc import Mapping

from deploy.benchmarks import _broker
from deploy.benchmarks._broker import Counting, Stopwatch, deployment, plain, worker
from deploy.benchmarks._filler import Load, fill, filler
from deploy.benchmarks.base import BenchArgs, BenchResult, repeat
from schemas.settings import Settings
from schemas.topics import Topic

OPTIONS = _broker.OPTIONS | {"users": 100_000}


def run(args: BenchArgs) -> BenchResult:
    """Measure."""
    count = 20_000 if args.short else args.whole("events")

    def measure() -> Mapping[str, float]:
        with deployment(args) as settings:
            warm = Load(Topic.CLICKS, count // 10, args.whole("users"), args.whole("items"))
            load = warm._replace(clicks=count, first=warm.clicks)
            return asyncio.run(compare(settings, warm, load))

    found = repeat(measure, args.runs)
    ours = {k: v for k, v in found.items() if not k.startswith("plain_")}
    peer = {"events_per_core_second": found["plain_events_per_core_second"]}
    return BenchResult(bench="intake", figures=ours, against={"aiokafka + msgspec": peer})


async def compare(settings: Settings, warm: Load, load: Load) -> Mapping[str, float]:
    """The worker and its peer over the same records; a first tenth warms the worker up."""
    await fill(settings, warm)
    counting, total = Counting(), warm.clicks + load.clicks
    with filler(settings, load) as more:
        async with worker(settings, counting, frozenset({"intake"})) as app:
            await counting.until(read=warm.clicks)
            await app.runtime.intake.drained()
            await more.ready()
            watch = Stopwatch()
            await more.deliver()
            await counting.until(read=total)
            await app.runtime.intake.drained()
            ours = watch.read()
    per_event = (await plain(settings, Topic.CLICKS, total)).cpu / total
    return {
        "events_per_core_second": load.clicks / ours.cpu,
        "ratio_to_plain": per_event * load.clicks / ours.cpu,
        "plain_events_per_core_second": 1 / per_event,
    }
