"""What the sampler weighs: fused score, boost, Thompson draw and the discount of popular items.

The utility is the parts of ``ScoredLists`` added left to right, then the boost, then the draw, then the
discount: the same order in which a reader adds the parts of a recommended item.
"""

from dataclasses import dataclass

import numpy as np

from models.fusion.scored import ScoredLists
from models.jit import brief_kernel, kernel
from models.policy.rules import Ruling, Shelf
from models.policy.sampling import Pools
from schemas.signals import Float64, Int32, UInt8

BOOST = "boost"
EXPLORATION = "exploration"
NOVELTY = "novelty"
DIVERSITY = "diversity"
CONTROL = "popularity"
"""Names of the parts that the policy adds; the last is the safe policy's only component."""


@dataclass(frozen=True, slots=True)
class Weighed:
    """Candidates that may be listed, with what they weigh.

    Attributes
    ----------
    pools
        What is sampled from.
    source
        Row of each candidate in the ``ScoredLists``, shape (total,).
    boost, exploration, novelty
        These parts of each utility, shape (total,).
    dropped
        Candidates per list that were left out because their score was not finite, shape (n,).
    """

    pools: Pools
    source: Int32
    boost: Float64
    exploration: Float64
    novelty: Float64
    dropped: Int32


def weigh(
    scored: ScoredLists,
    exploration: Float64,
    safe: UInt8,
    ruling: Ruling,
    shelf: Shelf,
    *,
    limit: int,
    discount: float,
) -> Weighed:
    """Apply the rules and add up utilities.

    Candidates are left out where they are unknown, unavailable, excluded, pinned, listed twice (the
    first stays), or of a score that is not finite; of the rest the best ``limit`` stay, in their order.

    Parameters
    ----------
    exploration
        Thompson part of each scored row, shape (total,); shape (0,): none.
    safe
        1 for lists of the safe policy: utility is the control's score and boost, shape (n,).
    discount
        How much of the control's score (log popularity) is taken from each utility.
    """
    n, total = len(scored), len(scored.slot)
    start, source = np.zeros(n + 1, np.int32), np.empty(total, np.int32)
    utility, control, boost, draws, novelty = (np.empty(total) for _ in range(5))
    dropped = np.zeros(n, np.int32)
    stamp = np.full(int(scored.slot.max(initial=0)) + 1, -1, np.int32)
    _weigh(
        (scored.list_start, scored.slot, scored.parts, scored.control),
        exploration,
        safe,
        (ruling.rule, ruling.blocked, ruling.boost, ruling.pinned),
        shelf.available,
        limit,
        discount,
        stamp,
        (start, source, utility, control, boost, draws, novelty, dropped),
    )
    kept = int(start[-1])
    source = source[:kept]
    slot = scored.slot[source]
    pools = Pools(start, slot, utility[:kept], control[:kept], shelf.groups_of(slot))
    return Weighed(pools, source, boost[:kept], draws[:kept], novelty[:kept], dropped)


@brief_kernel
def _weigh(
    scored: tuple[Int32, Int32, Float64, Float64],
    exploration: Float64,
    safe: UInt8,
    ruling: tuple[Int32, UInt8, Float64, Int32],
    available: UInt8,
    limit: int,
    discount: float,
    stamp: Int32,
    out: tuple[Int32, Int32, Float64, Float64, Float64, Float64, Float64, Int32],
) -> None:
    list_start, slots, parts, scored_control = scored
    rules, blocked, boosts, pinned = ruling
    start, source, utility, control, boost, draws, novelty, dropped = out
    at = 0
    for n in range(len(safe)):
        _ban(stamp, n, pinned[n])
        rule = rules[n]
        first = at
        for row in range(list_start[n], list_start[n + 1]):
            slot = slots[row]
            if stamp[slot] == n or _out(available, slot) or _in(blocked[rule], slot):
                continue
            stamp[slot] = n
            extra = boosts[rule, slot] if slot < boosts.shape[1] else 0.0
            lot = 0.0 if safe[n] or not len(exploration) else exploration[row]
            base = scored_control[row] if safe[n] else _added(parts[row])
            less = 0.0 if safe[n] or discount == 0.0 else -discount * scored_control[row]
            value = ((base + extra) + lot) + less
            if not (np.isfinite(value) and np.isfinite(scored_control[row])):
                dropped[n] += 1
                continue
            source[at], utility[at], control[at] = row, value, scored_control[row] + extra
            boost[at], draws[at], novelty[at] = extra, lot, less
            at += 1
        if at - first > limit:
            mine = slice(first, at)
            of_mine = (utility[mine], control[mine], boost[mine], draws[mine], novelty[mine])
            _cut(source[mine], of_mine, limit)
            at = first + limit
        start[n + 1] = at


@kernel
def _ban(stamp: Int32, n: int, pinned: Int32) -> None:
    """Slot 0 (unknown) and pinned items are no candidates of list ``n``."""
    stamp[0] = n
    for slot in pinned:
        if slot < len(stamp):
            stamp[slot] = n


@kernel
def _out(available: UInt8, slot: int) -> bool:
    return slot < len(available) and available[slot] == 0


@kernel
def _in(blocked: UInt8, slot: int) -> bool:
    return slot < len(blocked) and blocked[slot] != 0


@kernel
def _added(parts: Float64) -> float:
    total = 0.0
    for part in parts:
        total += part
    return total


@kernel
def _cut(source: Int32, columns: tuple[Float64, Float64, Float64, Float64, Float64], limit: int) -> None:
    """Move the ``limit`` largest utilities to the front, in their order; of equal ones the first stay."""
    utility, control, boost, draws, novelty = columns
    order = np.argsort(-utility, kind="mergesort")[:limit]
    order.sort()
    for to in range(limit):
        i = order[to]
        source[to], utility[to], control[to] = source[i], utility[i], control[i]
        boost[to], draws[to], novelty[to] = boost[i], draws[i], novelty[i]
