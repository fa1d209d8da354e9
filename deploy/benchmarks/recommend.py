"""Whole lists per second: contexts, candidates, features, head, sampling, explanations, structs.

One thread, batches of 64; per second of this thread's CPU time, so that a busy machine does not count.
Beside it, a far smaller job in the same run: the ten best by one 64-factor model (one matrix product and
one partition a batch), no candidates, seen items, probabilities or reasons.
"""

import time

import numpy as np

from deploy.benchmarks._stream import clicks, new_engine, observe
from deploy.benchmarks.base import BenchArgs, BenchResult, repeat
from models.engine import ListRequest

OPTIONS = {"items": 2000, "batch": 64, "events": 40_000, "people": 2000}


def run(args: BenchArgs) -> BenchResult:
    """Learn a stream, then draw lists of ten for people of it; and rank the same without drawing."""
    events = args.whole("events") // (4 if args.short else 1)
    batch, people = args.whole("batch"), args.whole("people")
    engine, shard = new_engine()
    log = clicks(args.whole("items"), events, people)
    observe(engine, shard, log)
    now = log[-1].ts + 1000
    batches = 4 if args.short else 20

    def requests(n: int) -> list[ListRequest]:
        return [
            ListRequest(
                shard=shard,
                user_id=f"u{(n * batch + i) % people}",
                k=10,
                trigger_id=f"t{n}-{i}",
                event_ts=now,
            )
            for i in range(batch)
        ]

    asked = [requests(n) for n in range(batches)]
    engine.recommend(asked[0], now=now, seed=0)
    engine.rank(asked[0], now=now)

    def measure() -> dict[str, float]:
        begun = time.thread_time()
        for n, some in enumerate(asked):
            engine.recommend(some, now=now, seed=n)
        drawn = time.thread_time() - begun
        begun = time.thread_time()
        for some in asked:
            engine.rank(some, now=now)
        ranked = time.thread_time() - begun
        lists = batches * batch
        plain = batch * _TOP_BATCHES / _top_ten(args.whole("items"), batch)
        return {
            "lists_per_second": lists / drawn,
            "ranked_per_second": lists / ranked,
            "ratio_to_top_ten": lists / drawn / plain,
        }

    return BenchResult(
        bench="recommend", figures={**repeat(measure, args.runs), "items": float(len(engine.items))}
    )


_TOP_BATCHES = 20


def _top_ten(items: int, batch: int) -> float:
    """CPU-seconds, of all threads, of the ten best by one model for ``_TOP_BATCHES`` batches."""
    rng = np.random.default_rng(0)
    model = rng.standard_normal((items, 64), np.float32)
    people = rng.standard_normal((batch, 64), np.float32)
    begun = time.process_time()
    for _ in range(_TOP_BATCHES):
        scores = people @ model.T
        best = np.argpartition(-scores, 10, axis=1)[:, :10]
        np.take_along_axis(best, np.argsort(-np.take_along_axis(scores, best, 1), axis=1), 1)
    return time.process_time() - begun
