"""Event to list: from a click's timestamp to the read of the list that it triggered, against a relay.

A worker and a plain relay over the same three topics run side by side, each with topics of its own; they
are driven in turn, a window each, so that a busy machine meets both.  One run is one such pair of windows.
"""

import asyncio
import subprocess
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
PATIENCE_SECONDS = 60.0
"""How long the last lists of a window may take: a machine may stand still for a while."""


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
        for settings, process, side in sides:
            asyncio.run(_flow.alive(settings, side, process))
            asyncio.run(_flow.drive(settings, side, rate=args.number("rate"), seconds=args.number("warm")))
        found = repeat(lambda: pair(args, sides), args.runs)
    peer = {k.removeprefix("relay_"): v for k, v in found.items() if k.startswith("relay_")}
    figures: dict[str, Figure | float] = {k: v for k, v in found.items() if not k.startswith("relay_")}
    return BenchResult(
        bench=bench, figures={"rate": args.number("rate"), **figures}, against={"aiokafka relay": peer}
    )


def pair(args: BenchArgs, sides: "tuple[Side, Side]") -> Mapping[str, float]:
    """One window of each.

    ``lost_in_silence``: people whose newest event has no list although no trigger was shed for it.
    """
    seconds = 5.0 if args.short else args.number("seconds")
    settings = sides[0][0]
    before: dict[float, float] = {}
    shed = _flow.shed(settings)
    ours = window(args, sides[0], seconds, lambda: before.update(_flow.histogram(settings)))
    after, shed = _flow.histogram(settings), _flow.shed(settings) - shed
    silent = max(0.0, ours["left_out"] - shed)
    peer = window(args, sides[1], seconds)
    own = {f"product_p{q}_ms": _flow.quantile(before, after, q / 100) for q in (50, 99)}
    buckets = max(_flow.apart(list(after), ours[f"p{q}_ms"], own[f"product_p{q}_ms"]) for q in (50, 99))
    ratios = {
        f"ratio_to_relay{s}": ours[f"{q}_ms"] / peer[f"{q}_ms"] for s, q in (("", "p99"), ("_p50", "p50"))
    }
    told = own | {"lost_in_silence": silent, "buckets_apart": buckets} | ratios
    return ours | told | {f"relay_{k}": v for k, v in peer.items()}


def window(
    args: BenchArgs, side: "Side", seconds: float, on_settled: Callable[[], None] = lambda: None
) -> dict[str, float]:
    """What one window of one side showed."""
    settings, process, make = side
    used, rate = _flow.cpu_seconds(process.pid), args.number("rate")
    whole = _flow.SETTLED + seconds
    driving = _flow.drive(
        settings, make, rate=rate, seconds=whole, tail=PATIENCE_SECONDS, on_settled=on_settled
    )
    flow = asyncio.run(driving)
    used = _flow.cpu_seconds(process.pid) - used
    times = flow.times(min(flow.sent.values()) + _flow.SETTLED)
    return {
        "p50_ms": percentile(times, 50),
        "p99_ms": percentile(times, 99),
        "answered_share": len(flow.seen.keys() & flow.sent.keys()) / len(flow.sent),
        "lost": flow.lost(),
        "left_out": flow.left_out(),
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
Side = tuple[Settings, "subprocess.Popen[bytes]", Make]
