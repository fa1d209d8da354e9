"""All contestants on one event: what each would have listed, and where the item that came stands."""

from dataclasses import dataclass
from typing import Final

import numpy as np

from models.engine import Engine, ListRequest
from models.evaluation.spread import TEN
from models.fusion.ranking import best
from models.fusion.scored import ScoredLists
from schemas.signals import Int32

ALL: Final = 1 << 30
FUSED: Final = "fused"
RANK_FUSION: Final = "rrf"


@dataclass(frozen=True, slots=True)
class Contest:
    """One test.

    Attributes
    ----------
    ranks
        Contestant to 1-based place of the item that came, 0 for "not listed".
    top
        Contestant to ids of its first ten.
    above
        Ids that the fused list puts above the item that came; none where that is not listed.
    lists
        The fused list whole: every candidate, best first.
    """

    ranks: dict[str, int]
    top: dict[str, list[str]]
    above: list[str]
    lists: ScoredLists


def contest(engine: Engine, request: ListRequest, item: str, *, now: int) -> Contest:
    """Let the components, rank fusion and the fused list compete; nothing is learned.

    Until the head has learned, rank fusion stands in for the fused list, as in production.
    """
    opinions = engine.opinions([request], now=now)
    lists = engine.scorer.rank(opinions, ALL, engine.safe)
    merged, rrf = opinions.union, np.empty(len(opinions.union.item), np.int32)
    place = np.zeros(len(engine.items), np.int32)
    best(merged.start, merged.item, merged.rrf.astype(np.float64), place, merged.start, rrf)
    slots: dict[str, Int32] = dict(zip(engine.fusion.columns, opinions.top[0], strict=True))
    slots |= {FUSED: lists.slot, RANK_FUSION: merged.item[rrf]}
    target = engine.items.lookup(item)
    ranks = {name: _place(listed, target) for name, listed in slots.items()}
    ids_of = engine.items.ids_of
    return Contest(
        ranks=ranks,
        top={name: ids_of(s for s in listed[:TEN].tolist() if s) for name, listed in slots.items()},
        above=ids_of(lists.slot[: max(ranks[FUSED] - 1, 0)].tolist()),
        lists=lists,
    )


def _place(listed: Int32, target: int) -> int:
    at = np.flatnonzero(listed == target)
    return int(at[0]) + 1 if target and at.size else 0
