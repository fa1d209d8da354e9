"""What a walk counts, and its figures."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from models.evaluation.calibration import Reliability, softmax
from models.evaluation.contest import FUSED, Contest
from models.evaluation.margins import Margins
from models.evaluation.metrics import METRICS, NDCG, SEGMENTS, credit, interval, intervals
from models.evaluation.spread import Spread
from models.evaluation.walk import Step
from schemas.signals import Float64, Int32

STRUCK = "struck"
"""The fused list with the person's own items struck out."""


class Tally:
    """Places that the contestants gave, event by event, and what their lists were like.

    Parameters
    ----------
    categories
        Of each item, for ILD.

    Attributes
    ----------
    ranks
        Contestant to the places of the items that came, one per test; 0 for "not listed".
    number, person
        Of each test: the event's number in the log, and whose it is.
    events, repeats, tied
        Events learned; of an item that the person already had; at the same time as the person's
        event before.
    """

    def __init__(self, categories: Mapping[str, frozenset[str]]) -> None:
        self.ranks: dict[str, list[int]] = {}
        self.number: list[int] = []
        self.person: list[int] = []
        self.events = self.repeats = self.tied = 0
        self.spread = Spread(categories)
        self.reliability = Reliability()
        self.margins: Margins | None = None
        self.struck: list[int] = []
        self._flags: list[tuple[bool, ...]] = []
        self._people: dict[str, int] = {}
        self._items: set[str] = set()

    def test(self, step: Step, contest: Contest) -> None:
        """Count one test."""
        for name, rank in contest.ranks.items():
            self.ranks.setdefault(name, []).append(rank)
        self.number.append(step.number)
        self.person.append(self._people.setdefault(step.event.user, len(self._people)))
        self._flags.append(step.flags)
        self.spread.add(contest.top)
        rank = contest.ranks[FUSED]
        own = sum(item in step.own for item in contest.above)
        self.struck.append(0 if step.event.item in step.own else rank - own)
        if contest.lists.fused and len(contest.lists.slot):
            self._explain(contest, rank - 1)

    def learn(self, step: Step) -> None:
        """Count one event of the log."""
        self.events += 1
        self.repeats += step.event.item in step.own
        self.tied += step.tied
        self._people.setdefault(step.event.user, len(self._people))
        self._items.add(step.event.item)
        self.spread.learn(step.event.item)

    def __len__(self) -> int:
        return len(self.person)

    @property
    def people(self) -> int:
        """Distinct people of the log."""
        return len(self._people)

    @property
    def items(self) -> int:
        """Distinct items of the log."""
        return len(self._items)

    def gains(self, name: str) -> Float64:
        """NDCG@10 of every test of a contestant, shape (tests,)."""
        places = self.struck if name == STRUCK else self.ranks[name]
        return np.ascontiguousarray(credit(_ints(places))[:, NDCG])

    def within(self, segment: str) -> "np.ndarray[Any, np.dtype[np.bool_]]":
        """Which tests belong to a segment, shape (tests,)."""
        if segment == SEGMENTS[0]:
            return np.ones(len(self), bool)
        flags = np.array(self._flags, bool).reshape(len(self), len(SEGMENTS) - 1)
        return flags[:, SEGMENTS.index(segment) - 1]

    def summaries(self) -> dict[str, dict[str, Any]]:
        """Every contestant's metrics per segment with 95 % intervals (``…_low``, ``…_high``), and its spread.

        Names and meanings are the outside referee's.
        """
        names, person = list(self.ranks), _ints(self.person)
        values = np.concatenate([credit(_ints(self.ranks[name])) for name in names], axis=1)
        out: dict[str, dict[str, Any]] = {name: {} for name in names}
        for segment in SEGMENTS:
            chosen = self.within(segment)
            n = int(chosen.sum())
            means = values[chosen].mean(axis=0) if n else np.zeros(values.shape[1])
            ends = intervals(values[chosen], person[chosen])
            for c, name in enumerate(names):
                own = slice(c * len(METRICS), (c + 1) * len(METRICS))
                out[name][segment] = _figures(n, means[own], ends[own])
        return {name: {**found, **self.spread.summary(name)} for name, found in out.items()}

    def advantage(self, name: str, other: str, segment: str = SEGMENTS[0]) -> tuple[float, float, float]:
        """Mean difference in NDCG@10 of two contestants on the same tests, with its 95 % interval."""
        chosen = self.within(segment)
        difference = (self.gains(name) - self.gains(other))[chosen]
        if not len(difference):
            return 0.0, 0.0, 0.0
        return (float(difference.mean()), *interval(difference, _ints(self.person)[chosen]))

    def mean(self, name: str, segment: str = SEGMENTS[0]) -> float:
        """NDCG@10 of a contestant in a segment; 0 without a test."""
        chosen = self.gains(name)[self.within(segment)]
        return float(chosen.mean()) if len(chosen) else 0.0

    def best(self, names: Sequence[str]) -> str:
        """The one of highest NDCG@10."""
        return max(names, key=self.mean)

    def _explain(self, contest: Contest, target: int) -> None:
        lists = contest.lists
        self.margins = self.margins or Margins(lists.part_names)
        self.reliability.add(softmax(lists.utility), target)
        self.margins.add(lists.parts, target)


def _ints(values: Sequence[int]) -> Int32:
    return np.array(values, np.int32)


def _figures(n: int, means: Float64, ends: Float64) -> dict[str, float]:
    found: dict[str, float] = {"n": n, **dict(zip(METRICS, means.tolist(), strict=True))}
    for metric, (low, high) in zip(METRICS, ends.tolist(), strict=True):
        found |= {f"{metric}_low": low, f"{metric}_high": high}
    return found
