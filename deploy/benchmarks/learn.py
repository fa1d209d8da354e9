"""Microseconds of CPU per event to fold blocks of 1,000 rows, every fold on every row."""

import time

from deploy.benchmarks._stream import clicks, new_engine, observe
from deploy.benchmarks.base import BenchArgs, BenchResult, Figure, repeat
from models.engine import Engine
from schemas.signals import SignalBlock

OPTIONS = {"items": 2000, "events": 20_000, "people": 400}


def run(args: BenchArgs) -> BenchResult:
    """Record a log once, then fold it into a new engine, the first part of it to warm up."""
    events = args.whole("events") // (4 if args.short else 1)
    engine, shard = new_engine()
    blocks = observe(engine, shard, clicks(args.whole("items"), events, args.whole("people")), run=1000)
    half = len(blocks) // 2

    def measure() -> dict[str, float]:
        fresh, _ = new_engine()
        _fold(fresh, blocks[:half])
        before = fresh.log.rows_learned
        spent = _fold(fresh, blocks[half:])
        return {"us_per_event": 1e6 * spent / max(fresh.log.rows_learned - before, 1)}

    figures: dict[str, Figure | float] = {**repeat(measure, args.runs)}
    return BenchResult(bench="learn", figures=figures | {"probes_per_event": _probes(blocks)})


def _fold(engine: Engine, blocks: list[SignalBlock]) -> float:
    begun = time.thread_time()
    for block in blocks:
        engine.learn(block)
    return time.thread_time() - begun


def _probes(blocks: list[SignalBlock]) -> float:
    return sum(len(b.probes) for b in blocks) / max(sum(len(b.interactions) for b in blocks), 1)
