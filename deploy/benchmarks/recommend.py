"""Whole lists per second: contexts, candidates, features, head, sampling, explanations, structs.

One thread, batches of 64; per second of this thread's CPU time, so that a busy machine does not count.
``recall``: the share of the fused top ten that is found although large shops search cells of items
(``factors_recall``: the same of the factors' own list), against searching all cells, on factors learned
from a Zipf-distributed stream; 1 where the shop is small enough to score every item.

Beside it, smaller jobs in the same run: the ten best by one 64-factor model of as many items, bare and by
``implicit``, and ten slots from 100 actions by VowpalWabbit.  A peer that is not installed is left out.
"""

import time
from collections.abc import Callable
from itertools import pairwise

import numpy as np

from deploy.benchmarks import _peers
from deploy.benchmarks._shop import settled
from deploy.benchmarks.base import BenchArgs, BenchResult, Figure, repeat
from models.engine import Engine, ListRequest
from models.users.shard import UserShard

OPTIONS = {"items": 2000, "batch": 64, "events": 0, "people": 0}


def run(args: BenchArgs) -> BenchResult:
    """Learn a stream, then draw lists of ten for people of it; and rank the same without drawing."""
    items, batch = args.whole("items"), args.whole("batch")
    events = args.whole("events") or length(items) // (4 if args.short else 1)
    people = args.whole("people") or events // 20
    engine, shard, now = settled(items, events, people)
    asked = requests(shard, people, (4 if args.short else 20, batch), now)
    engine.recommend(asked[0], now=now, seed=0)
    engine.rank(asked[0], now=now)
    peers: dict[str, Callable[[], float | None]] = {
        "top_ten": lambda: _peers.bare(items, batch),
        "implicit": lambda: _peers.implicit(items),
        "vowpalwabbit": _peers.vowpalwabbit,
    }

    def measure() -> dict[str, float]:
        found = timed(engine, asked, now)
        for name, peer in peers.items():
            theirs = peer()
            if theirs is not None:
                found[name] = theirs
                found[f"ratio_to_{name}"] = found["lists_per_second"] / theirs
        return found

    figures: dict[str, Figure | float] = {**repeat(measure, args.runs), **recalls(engine, asked[:4], now)}
    against = {n: {"lists_per_second": figures.pop(n)} for n in peers if n in figures}
    return BenchResult(
        bench="recommend", figures={**figures, "items": float(len(engine.items) - 1)}, against=against
    )


def length(items: int) -> int:
    """Events of the stream: twenty an item, between 40,000 and a million, but two and a half at least.

    Examples
    --------
    >>> [length(n) for n in (1000, 10_000, 100_000, 1_000_000)]
    [40000, 200000, 1000000, 2500000]
    """
    return max(min(max(20 * items, 40_000), 1_000_000), 5 * items // 2)


def requests(shard: UserShard, people: int, shape: tuple[int, int], now: int) -> list[list[ListRequest]]:
    """Batches of requests of different people."""
    batches, size = shape
    who = np.random.default_rng(1).permutation(people)
    return [
        [
            ListRequest(
                shard=shard,
                user_id=f"u{who[(n * size + i) % people]}",
                k=10,
                trigger_id=f"t{n}-{i}",
                event_ts=now,
            )
            for i in range(size)
        ]
        for n in range(batches)
    ]


def timed(engine: Engine, asked: list[list[ListRequest]], now: int) -> dict[str, float]:
    """Lists per CPU-second of this thread, drawn and merely ranked."""
    lists = sum(len(some) for some in asked)
    begun = time.thread_time()
    for n, some in enumerate(asked):
        engine.recommend(some, now=now, seed=n)
    drawn = time.thread_time() - begun
    begun = time.thread_time()
    for some in asked:
        engine.rank(some, now=now)
    return {"lists_per_second": lists / drawn, "ranked_per_second": lists / (time.thread_time() - begun)}


def recalls(engine: Engine, asked: list[list[ListRequest]], now: int) -> dict[str, float]:
    """Share of the top ten of an exhaustive search that the usual one finds."""
    index = engine.factors.index
    usual, tops = index.scan, []
    for scan in (usual, (len(engine.items), 1)):
        index.scan = scan
        tops.append(_tops(engine, asked, now))
    index.scan = usual
    return {
        name: float(
            np.mean([len(a & b) / max(len(b), 1) for a, b in zip(tops[0][c], tops[1][c], strict=True)])
        )
        for c, name in enumerate(("recall", "factors_recall"))
    }


def _tops(engine: Engine, asked: list[list[ListRequest]], now: int) -> tuple[list[set[int]], list[set[int]]]:
    """Everybody's ten best: of the fused list, and of the factors' own."""
    fused: list[set[int]] = []
    own: list[set[int]] = []
    column = engine.fusion.columns.index("factors")
    for some in asked:
        ranked = engine.rank(some, now=now)
        ends = ranked.list_start.tolist()
        fused += [set(ranked.slot[a:b].tolist()) for a, b in pairwise(ends)]
        top = engine.opinions(some, now=now).top[:, column, :10]
        own += [set(row[row > 0].tolist()) for row in top]
    return fused, own
