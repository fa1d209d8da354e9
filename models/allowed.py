"""Requests that say what may be listed: their items, and the most popular of these."""

from typing import Any

import numpy as np
import numpy.typing as npt

from models.catalogue import Catalogue
from models.fusion.candidates import Union
from models.fusion.scored import ScoredLists
from models.requests import ListRequest
from schemas.signals import Float64, Int32


def allowed(request: ListRequest, catalogue: Catalogue, seen: Int32) -> Int32:
    """Known items that a request allows and that may be listed, without ``seen``: ascending slots."""
    slots: npt.NDArray[Any] | None = None
    if request.candidates is not None:
        found = catalogue.items.lookup_many(request.candidates)
        slots = np.unique(found[found > 0])
    if request.filters:
        matching = catalogue.matching(request.filters)
        slots = matching if slots is None else np.intersect1d(slots, matching)
    if slots is None:
        return np.zeros(0, np.int32)
    listed = slots[catalogue.live()[slots] == 1]
    kept: Int32 = listed[~np.isin(listed, seen)].astype(np.int32)
    return kept


def most_popular(
    only: Union, utility: Float64, length: int, part_names: tuple[str, ...], column: int
) -> ScoredLists:
    """Everyone's candidates by popularity alone.

    Parameters
    ----------
    only
        Candidates of ``n`` people.
    utility
        Of each candidate, shape (total,).
    length
        Candidates kept per person, at most.
    part_names, column
        Names of all parts, and which of them the utility is; the others are 0.
    """
    chosen = [
        a + np.argsort(-utility[a:b], kind="stable")[:length]
        for a, b in zip(only.start[:-1].tolist(), only.start[1:].tolist(), strict=True)
    ]
    rows = np.concatenate(chosen).astype(np.int64)
    parts = np.zeros((len(rows), len(part_names)))
    parts[:, column] = utility[rows]
    start = np.concatenate([[0], np.cumsum([len(mine) for mine in chosen])]).astype(np.int32)
    return ScoredLists(start, only.item[rows], utility[rows], parts, part_names, utility[rows], fused=False)
