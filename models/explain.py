"""Because: the past items that spoke for a recommended one."""

from typing import Final

import numpy as np

from models.components.transitions import Transitions
from models.contexts import Contexts
from models.fusion.scored import ScoredLists
from models.jit import kernel
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
        """Past items (universe slots, 0 for none) and their weight in utility, both (m, 2), weightiest first."""
        found, weight = np.zeros((len(slots), NAMED), np.int32), np.zeros((len(slots), NAMED))
        c, s = self._contexts, self._scored
        shares = np.zeros(len(c.ctx_slot))
        folds = self._fold_of[c.ctx_slot]
        targets = self._fold_of[slots]
        for row, (u, slot) in enumerate(zip(lists.tolist(), slots.tolist(), strict=True)):
            a, b = int(s.list_start[u]), int(s.list_start[u + 1])
            at = np.flatnonzero(s.slot[a:b] == slot)
            part = float(s.parts[a + at[0], self._part]) if at.size else 0.0
            if part <= 0.0:
                continue
            first, end = int(c.ctx_start[u]), int(c.ctx_start[u + 1])
            self._transitions.shares(folds[first:end], c.ctx_gap[first:end], int(targets[row]), shares)
            _heaviest(c.ctx_slot[first:end], shares, part, found[row], weight[row])
        return found, weight


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
