"""The best of many without sorting them: a histogram of the scores finds how good is good enough."""

from typing import Final

import numpy as np

from models.components.base import mix
from models.jit import inner_kernel, kernel
from schemas.signals import Float32, Int32, UInt64

SHIFT: Final = 18
"""Bits of a positive float32 that a bucket ignores: a bucket spans 3 % of a score."""
LOWEST: Final = (127 - 24) << 5
BUCKETS: Final = 1024
"""From 2^-24 to 2^8; smaller and larger scores fall into the first and the last bucket."""


@kernel
def bucket(bits: int) -> int:
    """Bucket of a positive float32, given as its bits (which order as the floats do)."""
    return int(min(max((bits >> SHIFT) - LOWEST, 0), BUCKETS - 1))


@kernel
def limit_of(histogram: Int32, k: int) -> int:
    """Bits that the ``k`` best surely have at least, from how many scores fall into each bucket."""
    above = 0
    for b in range(BUCKETS - 1, 0, -1):
        above += histogram[b]
        if above >= k:
            return (b + LOWEST) << SHIFT
    return 1


@kernel
def clear(histograms: Int32) -> None:
    """Forget all counts."""
    histograms[:, :] = np.int32(0)


@inner_kernel
def key_of(bits: int, item: int) -> np.uint64:
    """One integer that orders as ``base.before`` does: by score, then by the item's hash, the lower first."""
    return (np.uint64(bits) << np.uint64(32)) | np.uint64(0xFFFFFFFF - mix(item))


@inner_kernel
def item_of(key: np.uint64) -> int:
    """The item of a key: ``base.mix`` is a bijection of 32 bits, and this its inverse."""
    h = 0xFFFFFFFF - np.int64(key & np.uint64(0xFFFFFFFF))
    h ^= (h >> 13) ^ (h >> 26)
    h = (h * 3066638151) & 0xFFFFFFFF
    h ^= (h >> 15) ^ (h >> 30)
    return (h * 244002641) & 0xFFFFFFFF


@inner_kernel
def best_first(keys: UInt64, items: Int32, values: Float32) -> None:
    """Write the best keys' items and scores, best first; what is left of ``items`` becomes item 0."""
    keys.sort()
    n = len(keys)
    for r in range(len(items)):
        if r < n:
            items[r] = item_of(keys[n - 1 - r])
            values[r] = np.int32(keys[n - 1 - r] >> np.uint64(32)).view(np.float32)
        else:
            items[r] = 0
            values[r] = 0.0
