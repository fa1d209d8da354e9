"""The protocol against the referee's definitions, and what the figures say in words."""

import math

import numpy as np
import pytest

from models.evaluation.metrics import credit, interval
from models.evaluation.prequential import LogEvent, Tally, in_order, run, verdict, walk


def test_credit_is_that_of_the_referee():
    """HR@10, NDCG@10, MRR@100 and DCG@100 of every rank, computed one by one."""
    for rank in range(130):
        hr = 1.0 if 0 < rank <= 10 else 0.0
        gain = 1 / math.log2(rank + 1) if rank else 0.0
        listed = 1.0 if 0 < rank <= 100 else 0.0
        expected = (hr, hr * gain, listed / max(rank, 1), listed * gain)
        assert credit(np.array([rank], np.int32))[0] == pytest.approx(expected)


def test_walk_flags_and_skips():
    """Segments are those before the event; own items are learned from and not asked."""
    log = [LogEvent("a", "x", 1), LogEvent("a", "x", 2), LogEvent("b", "x", 3), LogEvent("a", "y", 4)]
    steps = list(walk(log))
    assert [s.ask for s in steps] == [True, False, True, True]
    assert [s.ask for s in walk(log, keep_seen=True)] == [True] * 4
    assert [s.flags[0] for s in steps] == [False, False, True, True]
    assert [s.flags[4] for s in steps] == [True, False, False, True]
    assert all(s.flags[1] and s.flags[2] for s in steps)


def test_ties_keep_their_order():
    """The sort by time is stable."""
    log = [LogEvent("a", "2", 5.0), LogEvent("a", "1", 5.0), LogEvent("a", "0", 1.0)]
    assert [e.item for e in in_order(log)] == ["0", "2", "1"]


def test_run_tests_before_it_learns():
    """Every test sees what was learned before, and nothing of its own event."""
    learned: list[str] = []

    def test(event: LogEvent) -> dict[str, int]:
        return {"fused": 1 if event.item in learned else 0}

    tally = run([LogEvent("a", "x", 1), LogEvent("b", "x", 2)], test, lambda e: learned.append(e.item))
    assert tally.ranks["fused"] == [0, 1]
    assert tally.summary("fused")["all"]["HR@10"] == 0.5


def test_interval_covers_the_mean():
    """Of 200 samples of 200 people the 95 % interval covers the truth in at least 88 % (binomial, 1e-4)."""
    rng = np.random.default_rng(1)
    covered = 0
    for seed in range(200):
        value = rng.random(200)
        low, high = interval(value, np.arange(200, dtype=np.int32), seed)
        covered += low <= 0.5 <= high
    assert covered >= 176


def test_verdict_names_the_best_component():
    """The sentence compares the fused list with the best single one."""
    tally = Tally()
    for n in range(40):
        step = next(walk([LogEvent(f"u{n}", "x", 0)]))
        tally.add(step, {"fused": 1, "strong": 2, "weak": 50})
    sentence = verdict(tally, ["strong", "weak"])
    assert "strong" in sentence
    assert "beyond chance" in sentence
    assert verdict(Tally(), ["strong"]) == "No event could be tested."
