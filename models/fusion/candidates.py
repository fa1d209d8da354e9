"""The union of all components' top lists, and its rank fusion."""

from dataclasses import dataclass

import numpy as np

from models.jit import brief_kernel, kernel
from schemas.signals import Float32, Int32

RRF = 60.0
"""Reciprocal rank fusion's constant (Cormack et al., 2009)."""


@dataclass(frozen=True, slots=True)
class Union:
    """Candidates of ``n`` people, ragged.

    Attributes
    ----------
    start, item
        Person ``i`` owns ``item[start[i]:start[i + 1]]``; no item twice.
    rrf
        Sum over lists of ``1 / (60 + rank)``.
    """

    start: Int32
    item: Int32
    rrf: Float32


def union(top: Int32, n_items: int) -> Union:
    """Merge lists.

    Parameters
    ----------
    top
        Best first, padded with 0, shape (n, lists, k).
    n_items
        One more than the highest item.
    """
    start = np.zeros(len(top) + 1, np.int32)
    item, rrf = np.empty(top.size, np.int32), np.empty(top.size, np.float32)
    n = _union(top, np.zeros(n_items, np.int32), start, item, rrf)
    return Union(start, item[:n], rrf[:n])


def given(top: Int32, only: Union, n_items: int) -> Union:
    """Score fixed candidates: ``only`` with the rank fusion of the lists that mention them."""
    rrf = np.zeros(len(only.item), np.float32)
    _given(top, np.zeros(n_items, np.int32), only.start, only.item, rrf)
    return Union(only.start, only.item, rrf)


@brief_kernel
def _given(top: Int32, place: Int32, start: Int32, item: Int32, rrf: Float32) -> None:
    for u in range(top.shape[0]):
        for p in range(start[u], start[u + 1]):
            place[item[p]] = p + 1
        for c in range(top.shape[1]):
            for r in range(top.shape[2]):
                at = place[top[u, c, r]]
                if top[u, c, r] != 0 and at > 0:
                    rrf[at - 1] += np.float32(1.0 / (RRF + 1.0 + r))
        for p in range(start[u], start[u + 1]):
            place[item[p]] = 0


@brief_kernel
def _union(top: Int32, place: Int32, start: Int32, item: Int32, rrf: Float32) -> int:
    n = 0
    for u in range(top.shape[0]):
        first = n
        for c in range(top.shape[1]):
            for r in range(top.shape[2]):
                i = top[u, c, r]
                if i == 0:
                    break
                if place[i] == 0:
                    item[n] = i
                    rrf[n] = 0.0
                    n += 1
                    place[i] = n
                rrf[place[i] - 1] += np.float32(1.0 / (RRF + 1.0 + r))
        for p in range(first, n):
            place[item[p]] = 0
        start[u + 1] = n
    return n


@kernel
def ranks_of(top: Int32, target: Int32, out: Int32) -> None:
    """1-based rank of each person's target in each list, 0 if absent; ``out`` has shape (n, lists)."""
    for u in range(top.shape[0]):
        for c in range(top.shape[1]):
            out[u, c] = 0
            if target[u] == 0:
                continue
            for r in range(top.shape[2]):
                if top[u, c, r] == 0:
                    break
                if top[u, c, r] == target[u]:
                    out[u, c] = r + 1
                    break
