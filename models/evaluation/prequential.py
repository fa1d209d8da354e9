"""The prequential protocol: every event is first a test, then a lesson.

Events in time order; every ``every``-th asks for the person's list before anything is learned from it
and is scored by the place of its item.  Where own items are excluded, an event of an own item is
learned from and not scored.  An item's first event is a sure miss unless the catalogue is known.
"""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from models.evaluation.metrics import METRICS, SEGMENTS, credit, interval

Ranks = dict[str, int]
"""Contestant to 1-based place of the item, 0 for "not listed"."""


class LogEvent(NamedTuple):
    """One line of a log: ``t`` in seconds."""

    user: str
    item: str
    t: float
    value: float = 1.0


class Step(NamedTuple):
    """One event of the walk, and whether it is a test; ``flags`` follow ``SEGMENTS`` from ``last50`` on."""

    event: LogEvent
    ask: bool
    flags: tuple[bool, ...]


def in_order(events: Iterable[LogEvent]) -> list[LogEvent]:
    """By time; ties keep their order."""
    return sorted(events, key=lambda e: e.t)


def walk(events: Sequence[LogEvent], *, every: int = 1, keep_seen: bool = False) -> Iterator[Step]:
    """The protocol's bookkeeping.

    Examples
    --------
    >>> log = [LogEvent("ann", "tea", 1), LogEvent("ann", "tea", 2), LogEvent("bob", "tea", 3)]
    >>> [step.ask for step in walk(log)]
    [True, False, True]
    """
    half = len(events) // 2
    items: Counter[str] = Counter()
    people: Counter[str] = Counter()
    own: defaultdict[str, set[str]] = defaultdict(set)
    for n, event in enumerate(events):
        cold_user, cold_item = people[event.user] < 3, items[event.item] < 5
        flags = (n >= half, cold_user, cold_item, not cold_user and not cold_item, items[event.item] == 0)
        ask = n % every == 0 and (keep_seen or event.item not in own[event.user])
        yield Step(event, ask, flags)
        items[event.item] += 1
        people[event.user] += 1
        own[event.user].add(event.item)


@dataclass(slots=True)
class Tally:
    """Places that the contestants gave, event by event."""

    ranks: dict[str, list[int]] = field(default_factory=dict)
    person: list[int] = field(default_factory=list)
    flags: list[tuple[bool, ...]] = field(default_factory=list)
    _people: dict[str, int] = field(default_factory=dict)

    def add(self, step: Step, ranks: Ranks) -> None:
        """One tested event."""
        for name, rank in ranks.items():
            self.ranks.setdefault(name, []).append(rank)
        self.person.append(self._people.setdefault(step.event.user, len(self._people)))
        self.flags.append(step.flags)

    def __len__(self) -> int:
        return len(self.person)

    def summary(self, name: str) -> dict[str, dict[str, float]]:
        """Metrics of one contestant per segment, with the referee's names, and the interval of NDCG@10."""
        values = credit(np.array(self.ranks[name], np.int32))
        flags = np.array(self.flags, bool).reshape(len(self), len(SEGMENTS) - 1)
        out: dict[str, dict[str, float]] = {}
        for s, segment in enumerate(SEGMENTS):
            chosen = values if s == 0 else values[flags[:, s - 1]]
            means = chosen.mean(axis=0) if len(chosen) else np.zeros(len(METRICS))
            out[segment] = {"n": float(len(chosen)), **dict(zip(METRICS, means.tolist(), strict=True))}
        low, high = interval(values[:, 1], np.array(self.person, np.int32))
        out["all"] |= {"NDCG@10_low": low, "NDCG@10_high": high}
        return out

    def advantage(self, name: str, other: str) -> tuple[float, float, float]:
        """Mean difference in NDCG@10 of two contestants on the same events, with its 95 % interval."""
        first, second = (credit(np.array(self.ranks[n], np.int32))[:, 1] for n in (name, other))
        difference: npt.NDArray[np.float64] = first - second
        return (float(difference.mean()), *interval(difference, np.array(self.person, np.int32)))


def run(
    events: Sequence[LogEvent],
    test: Callable[[LogEvent], Ranks],
    learn: Callable[[LogEvent], None],
    *,
    every: int = 1,
    keep_seen: bool = False,
    progress: Callable[[], None] = lambda: None,
) -> Tally:
    """Walk a log.

    Parameters
    ----------
    test
        Places that the contestants give to an event's item before it is learned.
    learn
        Take the event in.
    """
    tally = Tally()
    for step in walk(events, every=every, keep_seen=keep_seen):
        if step.ask:
            tally.add(step, test(step.event))
        learn(step.event)
        progress()
    return tally


def verdict(tally: Tally, components: Sequence[str]) -> str:
    """What the figures say, in a sentence or two."""
    if not len(tally):
        return "No event could be tested."
    means = {name: float(credit(np.array(tally.ranks[name], np.int32))[:, 1].mean()) for name in tally.ranks}
    best = max(components, key=lambda name: means[name])
    gain, low, high = tally.advantage("fused", best)
    share = 100.0 * gain / means[best] if means[best] > 0 else 0.0
    sure = "the difference is beyond chance" if low > 0 or high < 0 else "chance could explain the difference"
    return (
        f"On this log the fused list scores NDCG@10 {means['fused']:.4f}, {share:+.1f} % against the best "
        f"single component, {best} ({means[best]:.4f}); {sure} (95 % interval {low:+.4f} to {high:+.4f})."
    )
