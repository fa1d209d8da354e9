"""From features to ranked lists whose utilities split exactly into parts."""

import numpy as np

from models.components.base import before
from models.components.bucket_sort import bucket_sort
from models.components.selecting import item_of, key_of
from models.fusion.candidates import RRF
from models.jit import brief_kernel, inner_kernel, kernel
from schemas.signals import Float32, Float64, Int32, UInt64

BUCKETS = 1024
RRF_SCALE = 60.0
"""Rank fusion's utilities are multiplied by this: an item that leads two lists stands about 2 above none."""


@brief_kernel
def crosses(
    slots: Int32, count: Float64, features: Float32, content: tuple[int, int], at: int, novelty: float
) -> None:
    """Features of items without an event, from ``at`` to the end; what folds say of them is taken away.

    Parameters
    ----------
    slots
        Fold slots of the candidates, shape (total,); 0 is unknown.
    count
        Events per fold slot.
    content
        Features of the content's score and extra; all others before ``at`` are of folds.
    novelty
        Log odds, scaled, that a given one of them comes.
    """
    for p in range(len(slots)):
        new = slots[p] == 0 or count[slots[p]] == 0.0
        features[p, at:] = 0.0
        if not new:
            continue
        features[p, : content[0]] = 0.0
        features[p, content[0] + 1 : content[1]] = 0.0
        features[p, at] = 1.0
        features[p, at + 1] = novelty
        features[p, at + 2] = features[p, content[0]]
        features[p, at + 3] = features[p, content[1]]


@kernel
def split(start: Int32, features: Float32, weights: Float64, part_of: Int32, parts: Float64) -> None:
    """Contributions of each part: ``parts[p, part] += weight * feature``, features in order."""
    for u in range(len(start) - 1):
        for p in range(start[u], start[u + 1]):
            for f in range(features.shape[1]):
                parts[p, part_of[f]] += weights[u, f] * features[p, f]


@kernel
def split_ranks(
    top: Int32, start: Int32, item: Int32, column_part: Int32, place: Int32, parts: Float64
) -> None:
    """Contributions to rank fusion of each part."""
    for u in range(top.shape[0]):
        for p in range(start[u], start[u + 1]):
            place[item[p]] = p + 1
        for c in range(top.shape[1]):
            for r in range(top.shape[2]):
                at = place[top[u, c, r]]
                if top[u, c, r] != 0 and at > 0:
                    parts[at - 1, column_part[c]] += RRF_SCALE / (RRF + 1.0 + r)
        for p in range(start[u], start[u + 1]):
            place[item[p]] = 0


@brief_kernel
def total(parts: Float64, utility: Float64) -> None:
    """Sum of parts, left to right."""
    for p in range(len(utility)):
        s = 0.0
        for c in range(parts.shape[1]):
            s += parts[p, c]
        utility[p] = s


@kernel
def best(start: Int32, item: Int32, utility: Float64, place: Int32, out_start: Int32, out: Int32) -> None:
    """Indices of each person's best candidates, best first, as many as ``out_start`` leaves room for.

    ``place`` is scratch: zeros, one more than the highest item.
    """
    most = 0
    for u in range(len(start) - 1):
        most = max(most, start[u + 1] - start[u])
    keys, spare = np.empty(most, np.uint64), np.empty(most, np.uint64)
    counts = np.empty(BUCKETS, np.int32)
    for u in range(len(start) - 1):
        first, n = start[u], start[u + 1] - start[u]
        for p in range(n):
            place[item[first + p]] = first + p
            keys[p] = key_of(np.float32(utility[first + p]), item[first + p])
        bucket_sort(keys[:n], spare, counts)
        _write(keys[:n], item, utility, place, out[out_start[u] : out_start[u + 1]])
        for p in range(first, first + n):
            place[item[p]] = 0


@inner_kernel
def _write(keys: UInt64, item: Int32, utility: Float64, place: Int32, out: Int32) -> None:
    """The best of rising keys, best first; keys hold 32 bits of a utility: near ones are compared again."""
    n = len(keys)
    for r in range(n):
        at = place[item_of(keys[n - 1 - r])]
        q = min(r, len(out))
        while q > 0 and before(utility[at], item[at], utility[out[q - 1]], item[out[q - 1]]):
            if q < len(out):
                out[q] = out[q - 1]
            q -= 1
        if q < len(out):
            out[q] = at
        elif keys[n - 1 - r] >> np.uint64(32) != keys[n - len(out)] >> np.uint64(32):
            break


@kernel
def rank_in(start: Int32, item: Int32, utility: Float64, target: Int32, out: Int32) -> None:
    """1-based rank of one candidate per person (an index within the list, -1: none gives 0)."""
    for u in range(len(start) - 1):
        out[u] = 0
        if target[u] >= 0:
            mine = start[u] + target[u]
            rank = 1
            for p in range(start[u], start[u + 1]):
                if p != mine and before(utility[p], item[p], utility[mine], item[mine]):
                    rank += 1
            out[u] = rank
