"""Intake and user agent: state, signals and fenced checkpoints on, lists off, against a plain loop."""

import asyncio
from collections.abc import Mapping

from deploy.benchmarks import _broker
from deploy.benchmarks._broker import Counting, Stopwatch, clicks, deliver, deployment, plain, preload, worker
from deploy.benchmarks.base import BenchArgs, BenchResult, repeat
from schemas.settings import Settings
from schemas.topics import Topic
from streams.app import ALL_ROLES, Role

OPTIONS = _broker.OPTIONS
AGENTS: frozenset[Role] = frozenset({"intake", "users"})


def run(args: BenchArgs) -> BenchResult:
    """Measure."""
    count = 20_000 if args.short else args.whole("events")

    def measure() -> Mapping[str, float]:
        with deployment(args) as settings:
            agents = asyncio.run(compare(args, settings, count, AGENTS))
        with deployment(args) as settings:
            everything = asyncio.run(compare(args, settings, count, ALL_ROLES))
        return agents | {
            "with_learner_events_per_core_second": everything["events_per_core_second"],
            "with_learner_ratio_to_plain": everything["ratio_to_plain"],
        }

    found = repeat(measure, args.runs)
    ours = {k: v for k, v in found.items() if not k.startswith("plain_")}
    peer = {"events_per_core_second": found["plain_events_per_core_second"]}
    return BenchResult(bench="users", figures=ours, against={"aiokafka + msgspec": peer})


async def compare(
    args: BenchArgs, settings: Settings, count: int, roles: frozenset[Role]
) -> dict[str, float]:
    """The worker and its peer over the same records; the first tenth warms both up."""
    warm = count // 10
    await preload(settings, Topic.CLICKS, clicks(args, warm, seed=2))
    counting = Counting()
    async with worker(settings, counting, roles) as app:
        await counting.until(applied=warm)
        await app.runtime.users.checkpoint()
        watch = Stopwatch()
        await deliver(args, settings, count, seed=1)
        await counting.until(applied=warm + count)
        await app.runtime.users.checkpoint()
        ours = watch.read()
    peer = await plain(settings, Topic.CLICKS, warm + count)
    per_event = peer.cpu / (warm + count)
    return {
        "events_per_core_second": count / ours.cpu,
        "ratio_to_plain": per_event * count / ours.cpu,
        "plain_events_per_core_second": 1 / per_event,
    }
