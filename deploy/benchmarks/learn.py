"""Microseconds of CPU per event to fold blocks of 1,000 rows: every fold on every row, and in a hurry.

``us_per_event``: a calm stream, all of which every fold learns, with a probe for every event.
``us_per_event_sampled``: the same rows at 20,000 a second, after three minutes of it: counts learn all of
them, the factors the ``share`` that their budget leaves, the head the probes that theirs does.
"""

import time
from dataclasses import replace

import numpy as np

from deploy.benchmarks._stream import START, clicks, new_engine, observe
from deploy.benchmarks.base import BenchArgs, BenchResult, Figure, repeat
from models.engine import Engine
from models.fold import take
from schemas.signals import Int64, SignalBlock

OPTIONS = {"items": 2000, "events": 20_000, "people": 400, "rate": 20_000.0}


def run(args: BenchArgs) -> BenchResult:
    """Record a log once, then fold it into a new engine, the first part of it to warm up."""
    events = args.whole("events") // (4 if args.short else 1)
    engine, shard = new_engine()
    calm = observe(engine, shard, clicks(args.whole("items"), events, args.whole("people")), run=1000)
    rate = args.number("rate")
    fast = hurried(calm, rate, engine.settings.probes_per_second)

    def measure() -> dict[str, float]:
        whole, _ = fold_halves(calm)
        sampled, share = fold_halves(fast, rate)
        return {"us_per_event": whole, "us_per_event_sampled": sampled, "share": share}

    figures: dict[str, Figure | float] = {**repeat(measure, args.runs)}
    figures |= {"probes_per_event": _probes(calm), "probes_per_event_sampled": _probes(fast)}
    return BenchResult(bench="learn", figures=figures)


def hurried(blocks: list[SignalBlock], rate: float, probes: float) -> list[SignalBlock]:
    """The same rows, ``rate`` of them a second, with as many probes as their budget allows then."""
    out, at = [], 0
    for block in blocks:
        n = len(block.interactions)
        ts = START + 180_000 + ((at + np.arange(n)) * 1000.0 / rate).astype(np.int64)
        kept = np.arange(len(block.probes)) % max(round(rate / probes), 1) == 0
        rows = replace(block.interactions, ts=ts)
        out.append(replace(block, interactions=rows, probes=take(block.probes, kept)))
        at += n
    return out


def fold_halves(blocks: list[SignalBlock], rate: float = 0.0) -> tuple[float, float]:
    """Microseconds per event of the second half of a log, and the share that the factors learn of it."""
    engine, _ = new_engine()
    budget = engine.factors.budget
    if rate:
        rehearse(engine, blocks[0], rate)
    half = len(blocks) // 2
    _fold(engine, blocks[:half])
    before = engine.log.rows_learned
    spent = _fold(engine, blocks[half:])
    return 1e6 * spent / max(engine.log.rows_learned - before, 1), budget.share


def rehearse(engine: Engine, block: SignalBlock, rate: float) -> None:
    """Three minutes of the rate, for the budget alone."""
    n = len(block.interactions)
    for begin in range(0, int(180 * rate), n):
        ts: Int64 = START + ((begin + np.arange(n)) * 1000.0 / rate).astype(np.int64)
        engine.factors.budget.choose(replace(block.interactions, ts=ts))


def _fold(engine: Engine, blocks: list[SignalBlock]) -> float:
    begun = time.thread_time()
    for block in blocks:
        engine.learn(block)
    return time.thread_time() - begun


def _probes(blocks: list[SignalBlock]) -> float:
    return sum(len(b.probes) for b in blocks) / max(sum(len(b.interactions) for b in blocks), 1)
