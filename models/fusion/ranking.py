"""From features to ranked lists whose utilities split exactly into parts."""

import numpy as np

from models.components.base import before, offer, unheap
from models.fusion.candidates import RRF
from models.jit import kernel
from schemas.signals import Float32, Float64, Int32

RRF_SCALE = 60.0
"""Rank fusion's utilities are multiplied by this: an item that leads two lists stands about 2 above none."""


@kernel
def crosses(slots: Int32, features: Float32, content: int, at: int) -> None:
    """Features of items that no fold knows: whether it is one, and its content score if so."""
    for p in range(len(slots)):
        new = 1.0 if slots[p] == 0 else 0.0
        features[p, at] = new
        features[p, at + 1] = new * features[p, content]


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


@kernel
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
    for u in range(len(start) - 1):
        room = out_start[u + 1] - out_start[u]
        values, items = np.empty(room, np.float64), np.zeros(room, np.int32)
        size = 0
        for p in range(start[u], start[u + 1]):
            place[item[p]] = p
            if size == room and utility[p] < values[0]:
                continue
            size = offer(values, items, size, utility[p], item[p])
        unheap(values, items, size)
        for r in range(room):
            out[out_start[u] + r] = place[items[r]]
        for p in range(start[u], start[u + 1]):
            place[item[p]] = 0


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
