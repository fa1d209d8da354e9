"""Event to list: from a click's timestamp to the read of the list that it triggered, against a relay.

A worker and a plain relay over the same three topics run side by side, each with topics of its own; they
are driven in turn, a window each, so that a busy machine meets both.  One run is one such pair of windows.
"""

import asyncio
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from itertools import count

import msgspec
import numpy as np

from deploy.benchmarks import _broker, _flow
from deploy.benchmarks._broker import deployment
from deploy.benchmarks._flow import Make, Message
from deploy.benchmarks.base import BenchArgs, BenchResult, Figure, repeat
from schemas.settings import Settings
from schemas.signals import Float64
from schemas.topics import Topic

OPTIONS = _broker.OPTIONS | {"rate": 1000, "seconds": 10, "warm": 15}
HOPS = (Topic.CLICKS, Topic.EVENTS, Topic.RECOMMENDATIONS)


def run(args: BenchArgs) -> BenchResult:
    """Measure."""
    return compare("latency", args, lambda name: clicking(args, name), HOPS, publish="always")


def clicking(args: BenchArgs, name: str) -> Make:
    """Clicks by people and about items drawn evenly."""
    draw, number = np.random.default_rng(1), count()
    encode = msgspec.json.Encoder().encode

    def make(_: int, now: int) -> Message:
        user = f"user-{draw.integers(args.whole('users'))}"
        cause = f"{name}-{next(number)}"
        item = f"item-{draw.integers(args.whole('items'))}"
        value = encode({"event_id": cause, "user_id": user, "item_id": item, "ts": now})
        return Message(Topic.CLICKS, None, user, value, cause)

    return make


def compare(
    bench: str, args: BenchArgs, make: "MakeFor", hops: tuple[Topic, ...], publish: str
) -> BenchResult:
    """Windows of a worker and of a relay in turn; ``make`` is called once for each of the two."""
    with ExitStack() as stack:
        ours, theirs = (
            stack.enter_context(deployment(args, checkpoint_seconds=10.0, publish=publish)) for _ in range(2)
        )
        ours = _flow.observed(ours)
        for settings in (ours, theirs):
            asyncio.run(_flow.furnish(args, settings))
        worker = stack.enter_context(_flow.streaming(ours))
        relay = stack.enter_context(_flow.relaying(theirs, *hops))
        sides = (ours, worker, make("ours")), (theirs, relay, make("theirs"))
        for settings, _, side in sides:
            asyncio.run(_flow.alive(settings, side))
            asyncio.run(_flow.drive(settings, side, rate=args.number("rate"), seconds=args.number("warm")))
        found = repeat(lambda: pair(args, sides), args.runs)
    peer = {k.removeprefix("relay_"): v for k, v in found.items() if k.startswith("relay_")}
    figures: dict[str, Figure | float] = {k: v for k, v in found.items() if not k.startswith("relay_")}
    return BenchResult(
        bench=bench, figures={"rate": args.number("rate"), **figures}, against={"aiokafka relay": peer}
    )


def pair(args: BenchArgs, sides: "tuple[Side, Side]") -> Mapping[str, float]:
    """One window of each."""
    seconds = 5.0 if args.short else args.number("seconds")
    settings = sides[0][0]
    before: dict[float, float] = {}
    ours = window(args, sides[0], seconds, lambda: before.update(_flow.histogram(settings)))
    after = _flow.histogram(settings)
    peer = window(args, sides[1], seconds)
    own = {f"product_p{q}_ms": _flow.quantile(before, after, q / 100) for q in (50, 99)}
    buckets = max(_flow.apart(list(after), ours[f"p{q}_ms"], own[f"product_p{q}_ms"]) for q in (50, 99))
    ratios = {
        f"ratio_to_relay{s}": ours[f"{q}_ms"] / peer[f"{q}_ms"] for s, q in (("", "p99"), ("_p50", "p50"))
    }
    return ours | own | {"buckets_apart": buckets} | ratios | {f"relay_{k}": v for k, v in peer.items()}


def window(
    args: BenchArgs, side: "Side", seconds: float, on_settled: Callable[[], None] = lambda: None
) -> dict[str, float]:
    """What one window of one side showed."""
    settings, pid, make = side
    used, rate = _flow.cpu_seconds(pid), args.number("rate")
    whole = _flow.SETTLED + seconds
    flow = asyncio.run(_flow.drive(settings, make, rate=rate, seconds=whole, on_settled=on_settled))
    used = _flow.cpu_seconds(pid) - used
    times = flow.times(min(flow.sent.values()) + _flow.SETTLED)
    return {
        "p50_ms": percentile(times, 50),
        "p99_ms": percentile(times, 99),
        "answered_share": len(flow.seen.keys() & flow.sent.keys()) / len(flow.sent),
        "lost": flow.lost(),
        "cpu_ms_per_event": 1000.0 * used / len(flow.sent),
    }


def percentile(times: Float64, share: float) -> float:
    """Of what was answered; infinite where nothing was.

    Examples
    --------
    >>> percentile(np.array([1.0, 2.0, 3.0]), 50), percentile(np.zeros(0), 50)
    (2.0, inf)
    """
    return float(np.percentile(times, share)) if len(times) else float("inf")


MakeFor = Callable[[str], Make]
Side = tuple[Settings, int, Make]
