"""Because: the past items that spoke for a recommended one."""

from typing import Final

import numpy as np

from models.components.transitions import Transitions
from models.contexts import Contexts
from models.fusion.scored import ScoredLists
from models.jit import brief_kernel, kernel
from models.scoring import SlotMaps
from schemas.signals import Float64, Int32

NAMED: Final = 2
"""Past items named per recommended one."""


class Reasons:
    """Shares of the transitions part by the past items that it came from.

    Parameters
    ----------
    contexts, scored
        The batch.
    transitions
        Whose neighbours are read.
    maps
        Fold slots of universe slots.

    Notes
    -----
    The transitions part of an item's utility is a sum over the person's recent items; each gets the
    share that its pairs contribute.  A part of 0 or below names nobody.
    """

    def __init__(
        self, contexts: Contexts, scored: ScoredLists, transitions: Transitions, maps: SlotMaps
    ) -> None:
        self._contexts = contexts
        self._scored = scored
        self._transitions = transitions
        self._fold_of = maps.fold_of
        self._part = scored.part_names.index(transitions.name)

    def __call__(self, lists: Int32, slots: Int32) -> tuple[Int32, Float64]:
        """Past items and their weight in utility, weightiest first, both (m, 2).

        Parameters
        ----------
        lists, slots
            Rows of the batch and universe slots of the items to explain, shape (m,).

        Returns
        -------
        tuple of ndarray
            Universe slots (0 for none) and weights.
        """
        found, weight = np.zeros((len(slots), NAMED), np.int32), np.zeros((len(slots), NAMED))
        c, s = self._contexts, self._scored
        folds, targets = self._fold_of[c.ctx_slot], self._fold_of[slots]
        shares = self._transitions.shares(c.ctx_start, folds, c.ctx_gap, lists, targets)
        part = np.ascontiguousarray(s.parts[:, self._part])
        _name(lists, slots, (s.list_start, s.slot, part), (c.ctx_start, c.ctx_slot), shares, found, weight)
        return found, weight


@brief_kernel
def _name(
    lists: Int32,
    slots: Int32,
    scored: tuple[Int32, Int32, Float64],
    contexts: tuple[Int32, Int32],
    shares: Float64,
    found: Int32,
    weight: Float64,
) -> None:
    list_start, candidates, parts = scored
    ctx_start, ctx_slot = contexts
    for row in range(len(slots)):
        u = lists[row]
        part = 0.0
        for at in range(list_start[u], list_start[u + 1]):
            if candidates[at] == slots[row]:
                part = parts[at]
                break
        if part > 0.0:
            past = ctx_slot[ctx_start[u] : min(ctx_start[u + 1], ctx_start[u] + shares.shape[1])]
            _heaviest(past, shares[row, : len(past)], part, found[row], weight[row])


@kernel
def _heaviest(slots: Int32, shares: Float64, part: float, found: Int32, weight: Float64) -> None:
    total = 0.0
    for j in range(len(slots)):
        total += shares[j]
    for place in range(len(found)):
        best = -1
        for j in range(len(slots)):
            if shares[j] > 0.0 and (best < 0 or shares[j] > shares[best]):
                best = j
        if best < 0:
            return
        found[place] = slots[best]
        weight[place] = part * shares[best] / total
        shares[best] = 0.0
