"""The walk and the run of the protocol."""

import pytest

from models.evaluation.contest import Contest
from models.evaluation.prequential import LogEvent, in_order, run, walk
from models.evaluation.tally import Tally
from tests.models.evaluation.contests import made_up


def test_walk_flags_and_skips():
    """Segments are those before the event; own items are learned from and not asked."""
    log = [LogEvent("a", "x", 1), LogEvent("a", "x", 2), LogEvent("b", "x", 3), LogEvent("a", "y", 3)]
    steps = list(walk(log))
    assert [s.ask for s in steps] == [True, False, True, True]
    assert [s.ask for s in walk(log, keep_seen=True)] == [True] * 4
    assert [s.flags[0] for s in steps] == [False, False, True, True]
    assert [s.new for s in steps] == [True, False, False, True]
    assert all(s.flags[1] and s.flags[2] for s in steps)


def test_ties_and_repeats_are_counted():
    """A tie is with the same person's event before; a repeat is of an own item."""
    log = [LogEvent("a", "x", 1), LogEvent("b", "x", 1), LogEvent("a", "y", 1), LogEvent("a", "x", 2)]
    assert [s.tied for s in walk(log)] == [False, False, True, False]
    tally = run(log, lambda e: made_up({"fused": 1}), lambda e: None)
    assert (tally.events, tally.tied, tally.repeats, tally.people, tally.items) == (4, 1, 1, 2, 2)


def test_ties_keep_their_order():
    """The sort by time is stable."""
    log = [LogEvent("a", "2", 5.0), LogEvent("a", "1", 5.0), LogEvent("a", "0", 1.0)]
    assert [e.item for e in in_order(log)] == ["0", "2", "1"]


def test_run_tests_before_it_describes_and_describes_before_it_learns():
    """Every test sees what was learned before, and nothing of its own event; items are told of once."""
    done: list[str] = []

    def test(event: LogEvent) -> Contest:
        known = f"learn {event.item}" in done
        done.append(f"test {event.item}")
        return made_up({"fused": 1 if known else 0})

    log = [LogEvent("a", "x", 1), LogEvent("b", "x", 2)]
    tally = run(
        log, test, lambda e: done.append(f"learn {e.item}"), describe=lambda i: done.append(f"describe {i}")
    )
    assert done == ["test x", "describe x", "learn x", "test x", "learn x"]
    assert tally.ranks["fused"] == [0, 1]
    assert tally.summaries()["fused"]["all"]["HR@10"] == 0.5


def test_a_given_tally_is_used_though_it_is_empty():
    """Categories given with it count: an empty tally is false, and still the one."""
    tally = Tally({"x": frozenset({"drink"}), "y": frozenset({"china"})})
    contest = made_up({"fused": 1}, {"fused": ["x", "y"]})
    assert run([LogEvent("a", "x", 1)], lambda e: contest, lambda e: None, tally=tally) is tally
    assert tally.summaries()["fused"]["ILD@10"] == pytest.approx(7.0)
