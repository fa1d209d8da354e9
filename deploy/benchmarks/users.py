"""The user agent with state, signals and fenced checkpoints, lists off, against a plain loop and stock Faust.

The state holds ``users`` people before the clock starts, and checkpoints come at the default interval,
with one more at the end, inside the measured time.
"""

import asyncio
from collections.abc import Mapping

import msgspec

from deploy.benchmarks import _broker
from deploy.benchmarks._broker import Counting, Stopwatch, deployment, plain, worker
from deploy.benchmarks._filler import Load, fill, filler
from deploy.benchmarks._stock import stock
from deploy.benchmarks.base import BenchArgs, BenchResult, repeat
from schemas.settings import Settings, UserSettings
from schemas.topics import Topic
from streams.app import ALL_ROLES, Role

OPTIONS = _broker.OPTIONS | {"users": 100_000, "events": 400_000, "stock_events": 3_000}
WITH_INTAKE: frozenset[Role] = frozenset({"intake", "users"})


def run(args: BenchArgs) -> BenchResult:
    """Measure: the agent alone on ``events``, with intake from ``clicks``, with intake and learner."""
    people = 5_000 if args.short else args.whole("users")
    count = 20_000 if args.short else args.whole("events")

    def measure() -> Mapping[str, float]:
        alone = _once(args, Topic.EVENTS, frozenset({"users"}), people, count)
        both = _once(args, Topic.CLICKS, WITH_INTAKE, people, count // 2)
        everything = _once(args, Topic.CLICKS, ALL_ROLES, people, count // 4)
        more = {f"with_intake_{k}": v for k, v in both.items()}
        most = {f"with_learner_{k}": v for k, v in everything.items()}
        return alone | {k: v for k, v in (more | most).items() if "plain_" not in k}

    found = repeat(measure, args.runs)
    ours = {k: v for k, v in found.items() if not k.startswith(("plain_", "stock_"))}
    peers = {"aiokafka + msgspec": "plain", "stock Faust with a Table": "stock"}
    rate = "events_per_core_second"
    return BenchResult(
        bench="users",
        figures=ours,
        against={name: {rate: found[f"{key}_{rate}"]} for name, key in peers.items()},
    )


def _once(args: BenchArgs, topic: Topic, roles: frozenset[Role], people: int, count: int) -> dict[str, float]:
    with deployment(args) as settings:
        settled = msgspec.structs.replace(settings, users=UserSettings())
        warm = Load(topic, people, people, args.whole("items"))
        load = warm._replace(clicks=count, first=people)
        return asyncio.run(compare(args, settled, roles, warm, load))


async def compare(
    args: BenchArgs, settings: Settings, roles: frozenset[Role], warm: Load, load: Load
) -> dict[str, float]:
    """The worker and its peers over the same records."""
    await fill(settings, warm)
    counting, total = Counting(), warm.clicks + load.clicks
    with filler(settings, load) as more:
        async with worker(settings, counting, roles) as app:
            await counting.until(applied=warm.clicks)
            await app.runtime.users.checkpoint()
            await more.ready()
            watch = Stopwatch()
            await more.deliver()
            await counting.until(applied=total)
            await app.runtime.users.checkpoint()
            ours = watch.read()
    per_event = (await plain(settings, load.topic, total)).cpu / total
    found = {
        "events_per_core_second": load.clicks / ours.cpu,
        "ratio_to_plain": per_event * load.clicks / ours.cpu,
        "plain_events_per_core_second": 1 / per_event,
    }
    if load.topic is Topic.EVENTS:
        n = args.whole("stock_events")
        found["stock_events_per_core_second"] = n / (await stock(settings, n)).cpu
        found["times_stock"] = found["events_per_core_second"] / found["stock_events_per_core_second"]
    return found
