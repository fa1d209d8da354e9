"""What lists are like beside being right: how much of the catalogue, how unknown, how different."""

import math
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from typing import Final

TEN: Final = 10
ILD_EVERY: Final = 7
"""Lists between two whose pairs of items are compared."""
NAMES: Final = ("coverage@10", "novelty@10", "ILD@10")


class Spread:
    """Coverage, novelty and intra-list distance of every contestant's first ten.

    coverage@10: distinct items listed, over the items observed by the end.  novelty@10: mean of
    ``-log2`` of the share of past events that are of the listed item, add-one.  ILD@10: mean Jaccard
    distance between the categories of two listed items, on every seventh list.

    Parameters
    ----------
    categories
        Of each item; without any there is no ILD.
    """

    def __init__(self, categories: Mapping[str, frozenset[str]]) -> None:
        self._categories = categories
        self._count: Counter[str] = Counter()
        self._total = 0
        self._shown: dict[str, set[str]] = {}
        self._novelty: defaultdict[str, float] = defaultdict(float)
        self._distance: defaultdict[str, float] = defaultdict(float)
        self._lists = 0

    def learn(self, item: str) -> None:
        """One more event of an item."""
        self._count[item] += 1
        self._total += 1

    def add(self, top: Mapping[str, Sequence[str]]) -> None:
        """The first ten of all contestants for one test."""
        compare = bool(self._categories) and self._lists % ILD_EVERY == 0
        self._lists += 1
        most = math.log2(self._total + 1)
        for name, items in top.items():
            shown = self._shown.setdefault(name, set())
            if not items:
                continue
            shown.update(items)
            self._novelty[name] += most - sum(math.log2(self._count[i] + 1) for i in items) / len(items)
            if compare and len(items) > 1:
                self._distance[name] += _distance([self._categories.get(i, frozenset()) for i in items])

    def summary(self, name: str) -> dict[str, float | None]:
        """``{"coverage@10": …, "novelty@10": …, "ILD@10": …}``; ILD is None where nothing has categories.

        Examples
        --------
        >>> spread = Spread({"tea": frozenset({"drink"}), "cup": frozenset({"china"})})
        >>> spread.learn("tea"), spread.add({"fused": ["tea", "cup"]}), spread.learn("cup")
        (None, None, None)
        >>> spread.summary("fused")
        {'coverage@10': 1.0, 'novelty@10': 0.5, 'ILD@10': 7.0}

        (One list of seven is looked at, and stands for seven.)
        """
        lists = max(self._lists, 1)
        ild = ILD_EVERY * self._distance[name] / lists if self._categories else None
        listed = len(self._shown.get(name, ()))
        return dict(
            zip(NAMES, (listed / max(len(self._count), 1), self._novelty[name] / lists, ild), strict=True)
        )


def _distance(sets: Sequence[frozenset[str]]) -> float:
    """Mean Jaccard distance of all pairs; two empty sets are as different as can be."""
    total = pairs = 0.0
    for n, a in enumerate(sets):
        for b in sets[:n]:
            both = len(a | b)
            total += 1.0 - (len(a & b) / both if both else 0.0)
            pairs += 1
    return total / pairs
