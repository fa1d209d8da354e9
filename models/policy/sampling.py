"""Sequential ε-softmax over utilities less a diversity penalty, with exact probabilities.

Slot by slot, with ``s_i = u_i − λ · max similarity of i to the slots above``, over the ``M``
candidates that are left::

    p_i = (1 − ε) · exp(s_i / τ) / Σ_j exp(s_j / τ) + ε / M

(Yue and Guestrin's greedy diversity made stochastic; the maximal-marginal-relevance penalty of
Carbonell and Goldstein 1998.)  The probability of a choice given the prefix is closed-form, so it is
logged exactly; the control's and the uniform policy's probabilities of the same choice are too.

One kernel both samples and recomputes: a recomputation forces the choices and runs the very same
machine code, so that its probabilities equal the logged ones bit for bit.
"""

import math
from dataclasses import dataclass

import numpy as np

from models.counter_random import mix, unit
from models.jit import kernel
from models.policy.diversity import like, penalise
from schemas.signals import Float32, Float64, Int32, UInt8, UInt64

FREE = -1
"""In ``Script.forced``: the sampler chooses."""
PIN = -2
"""In ``Script.forced``: a pinned item holds the slot."""
GREEDY = 1e-9
"""A temperature at or below this is 0: the largest wins, ties go to the larger hash."""


@dataclass(frozen=True, slots=True)
class Pools:
    """What is sampled from: ``n`` ragged lists of candidates.

    Attributes
    ----------
    start
        Shape (n + 1,).
    slot
        Row of each candidate in ``vectors``, shape (total,).
    utility, control
        Of the policy that serves and of the control; finite, shape (total,).
    group
        Above 0: counts towards the cap of its list; shape (total,).
    """

    start: Int32
    slot: Int32
    utility: Float64
    control: Float64
    group: Int32


@dataclass(frozen=True, slots=True)
class Script:
    """How each of the ``n`` lists is drawn.

    Attributes
    ----------
    seed
        Shape (n,).
    length, cap
        Slots wanted; items allowed per group (0: any number); shape (n,).
    forced
        Per slot: ``FREE``, ``PIN`` or the index of a candidate within its list; shape (n, width).
    pinned
        Row of the pinned item in ``vectors``, 0 for none; shape (n, width).
    epsilon, temperature, diversity
        Shape (n,).
    control_epsilon, control_temperature
        Of the control.
    keep
        Where to keep the similarities that were used: an index into ``Drawn.similarity``, or −1.
    """

    seed: UInt64
    length: Int32
    cap: Int32
    forced: Int32
    pinned: Int32
    epsilon: Float64
    temperature: Float64
    diversity: Float64
    control_epsilon: float
    control_temperature: float
    keep: Int32


@dataclass(frozen=True, slots=True)
class Drawn:
    """What came out, shape (n, width) each.

    Attributes
    ----------
    chosen
        Index of the candidate within its list; ``PIN`` for a pinned slot, ``FREE`` (−1) for a slot
        that stayed empty because no candidate was left.
    propensity, p_control, p_uniform
        Probability of the choice given the prefix; 1 for a pinned slot, 0 for an empty one.
    penalty
        ``−λ · max similarity to the prefix``, 0 or below.
    explored
        1 where greedy choice would have been another.
    similarity
        Kept rows, shape (kept, width, widest list).
    """

    chosen: Int32
    propensity: Float64
    p_control: Float64
    p_uniform: Float64
    penalty: Float64
    explored: UInt8
    similarity: Float32


def draw(pools: Pools, script: Script, vectors: Float32, given: Float32 | None = None) -> Drawn:
    """Draw (or, where choices are forced, recompute) lists.

    Parameters
    ----------
    pools, script
        Candidates and how to draw.
    vectors
        Rows of length 1, or of zeros where nothing is known, shape (slots, d); similarity is the inner
        product, 0 where it is negative.  Shape (0, 0): everything is unlike everything.
    given
        Similarities to use instead, shape (n, width, widest list).
    """
    n, width = script.forced.shape
    widest = int(np.diff(pools.start).max(initial=0))
    out = Drawn(
        chosen=np.full((n, width), FREE, np.int32),
        propensity=np.zeros((n, width)),
        p_control=np.zeros((n, width)),
        p_uniform=np.zeros((n, width)),
        penalty=np.zeros((n, width)),
        explored=np.zeros((n, width), np.uint8),
        similarity=np.zeros((int(script.keep.max(initial=-1)) + 1, width, widest), np.float32),
    )
    no_rows = np.zeros((0, 0, 0), np.float32)
    _draw(
        (pools.start, pools.slot, pools.utility, pools.control, pools.group),
        (script.seed, script.length, script.cap, script.forced, script.pinned, script.keep),
        (script.epsilon, script.temperature, script.diversity),
        (script.control_epsilon, script.control_temperature),
        vectors,
        no_rows if given is None else given,
        (out.chosen, out.propensity, out.p_control, out.p_uniform, out.penalty, out.explored),
        out.similarity,
    )
    return out


@kernel
def _draw(
    pools: tuple[Int32, Int32, Float64, Float64, Int32],
    script: tuple[UInt64, Int32, Int32, Int32, Int32, Int32],
    knobs: tuple[Float64, Float64, Float64],
    control_knobs: tuple[float, float],
    vectors: Float32,
    given: Float32,
    out: tuple[Int32, Float64, Float64, Float64, Float64, UInt8],
    kept: Float32,
) -> None:
    start, slots, utilities, controls, groups = pools
    seeds, lengths, caps, forced, pinned, keep = script
    epsilons, temperatures, diversities = knobs
    chosen, propensity, p_control, p_uniform, penalty, explored = out
    nothing = np.zeros((0, 0), np.float32)
    for n in range(len(seeds)):
        a, b = start[n], start[n + 1]
        _draw_one(
            (slots[a:b], utilities[a:b], controls[a:b], groups[a:b]),
            (seeds[n], lengths[n], caps[n], epsilons[n], temperatures[n], diversities[n]),
            control_knobs,
            forced[n],
            pinned[n],
            vectors,
            given[n] if len(given) else nothing,
            (chosen[n], propensity[n], p_control[n], p_uniform[n], penalty[n], explored[n]),
            kept[keep[n]] if keep[n] >= 0 else nothing,
        )


@kernel
def _draw_one(
    pool: tuple[Int32, Float64, Float64, Int32],
    script: tuple[np.uint64, int, int, float, float, float],
    control_knobs: tuple[float, float],
    forced: Int32,
    pinned: Int32,
    vectors: Float32,
    given: Float32,
    out: tuple[Int32, Float64, Float64, Float64, Float64, UInt8],
    kept: Float32,
) -> None:
    slot, utility, control, group = pool
    seed, length, cap, epsilon, temperature, diversity = script
    control_epsilon, control_temperature = control_knobs
    chosen, propensity, p_control, p_uniform, penalty, explored = out
    alive = np.ones(len(slot), np.uint8)
    likeness, row = np.zeros(len(slot), np.float32), np.zeros(len(slot), np.float32)
    score = utility.copy()
    weight, control_weight = np.empty(len(slot), np.float64), np.empty(len(slot), np.float64)
    top = control_top = -1  # -1: the weights must be computed anew
    for j in range(length):
        i = forced[j]
        if i == PIN:
            propensity[j] = p_control[j] = p_uniform[j] = 1.0
        else:
            left = _count(alive)
            if left == 0:
                return
            top = _weigh(score, alive, top, seed, temperature, weight)
            control_top = _weigh(control, alive, control_top, seed, control_temperature, control_weight)
            total = _total(weight, alive)
            if i == FREE:
                i = _pick(weight, alive, total, epsilon, left, unit(mix(seed, j)))
            propensity[j] = _probability(weight[i], total, epsilon, left)
            p_control[j] = _probability(
                control_weight[i], _total(control_weight, alive), control_epsilon, left
            )
            p_uniform[j] = 1.0 / left
            penalty[j] = -diversity * np.float64(likeness[i]) if likeness[i] > 0.0 else 0.0
            explored[j] = i != top
            _take(group, alive, i, chosen[:j], cap)
        chosen[j] = i
        if diversity > 0.0 and like(vectors, pinned[j] if i == PIN else slot[i], slot, given, j, row):
            if len(kept):
                kept[j, : len(row)] = row
            if penalise(utility, row, diversity, likeness, score):
                top = -1


@kernel
def _count(alive: UInt8) -> int:
    left = 0
    for flag in alive:
        left += flag
    return left


@kernel
def _best(score: Float64, alive: UInt8, seed: np.uint64) -> int:
    """The largest score; of equal ones, the larger hash of (seed, place)."""
    best = -1
    for i in range(len(score)):
        if alive[i] and (
            best < 0
            or score[i] > score[best]
            or (score[i] == score[best] and mix(~seed, i) > mix(~seed, best))
        ):
            best = i
    return best


@kernel
def _weigh(
    score: Float64, alive: UInt8, top: int, seed: np.uint64, temperature: float, weight: Float64
) -> int:
    """``exp((s − max) / τ)``: never above 1, never NaN; 1 for the best alone when τ is 0.

    Weights stay valid as long as the best candidate, ``top``, is still there; returns the best.
    """
    if top >= 0 and alive[top]:
        return top
    top = _best(score, alive, seed)
    for i in range(len(score)):
        if not alive[i]:
            weight[i] = 0.0
        elif temperature > GREEDY:
            weight[i] = math.exp((score[i] - score[top]) / temperature)
        else:
            weight[i] = 1.0 if i == top else 0.0
    return top


@kernel
def _total(weight: Float64, alive: UInt8) -> float:
    total = 0.0
    for i in range(len(weight)):
        if alive[i]:
            total += weight[i]
    return total


@kernel
def _probability(weight: float, total: float, epsilon: float, left: int) -> float:
    return (1.0 - epsilon) * (weight / total) + epsilon / left


@kernel
def _pick(weight: Float64, alive: UInt8, total: float, epsilon: float, left: int, u: float) -> int:
    """The candidate in whose stretch of the unit interval ``u`` falls."""
    reached = 0.0
    last = -1
    for i in range(len(weight)):
        if alive[i]:
            p = _probability(weight[i], total, epsilon, left)
            if p > 0.0:
                last = i
                reached += p
                if u < reached:
                    return i
    return last


@kernel
def _take(group: Int32, alive: UInt8, taken: int, above: Int32, cap: int) -> None:
    """Take a choice out of the pool, and the rest of its group once the cap is reached."""
    alive[taken] = 0
    mine = group[taken]
    if cap == 0 or mine <= 0:
        return
    count = 1
    for i in above:
        if i >= 0 and group[i] == mine:
            count += 1
    if count >= cap:
        for i in range(len(group)):
            if group[i] == mine:
                alive[i] = 0
