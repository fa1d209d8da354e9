"""The best of many without sorting them: a histogram of the scores finds how good is good enough."""

from typing import Final

import numpy as np

from models.components.base import mix
from models.components.bucket_sort import bucket_sort, count_buckets
from models.jit import inner_kernel, kernel
from schemas.signals import Float32, Int32, UInt64

SHIFT: Final = 18
"""Bits of a positive float32 that a bucket ignores: a bucket spans 3 % of a score."""
TIES: Final = 2
"""More keys than so many times what is wanted are narrowed before they are sorted."""
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


@kernel
def threshold(scores: Float32, weights: Int32, enough: int, histogram: Int32) -> np.float32:
    """A score such that those at or above it weigh ``enough`` together, and little more.

    Parameters
    ----------
    scores
        Of any sign, shape (n,).
    weights
        Non-negative, shape (n,); empty: each counts 1.
    enough
        Above 0; where all together weigh less, the lowest score is returned.
    histogram
        Scratch of any length.
    """
    low, high = np.float32(np.inf), np.float32(-np.inf)
    for s in scores:
        low = min(low, s)
        high = max(high, s)
    if not high > low:
        return low
    last = len(histogram) - 1
    scale = np.float32(last / (high - low))
    histogram[:] = 0
    for p in range(len(scores)):
        histogram[min(int((scores[p] - low) * scale), last)] += weights[p] if len(weights) else 1
    above = 0
    for b in range(last, 0, -1):
        above += histogram[b]
        if above >= enough:
            return np.float32(low + (b - np.float32(0.01)) / scale)
    return low


@inner_kernel
def key_of(score: np.float32, item: int) -> np.uint64:
    """One integer that orders as ``base.before`` does: by score, then by the item's hash, the lower first."""
    bits = np.int64(np.float32(score).view(np.int32))
    ordered = int(bits + 2147483648 if bits >= 0 else -1 - bits)
    if score == 0.0:
        ordered = 2147483648
    return (np.uint64(ordered) << np.uint64(32)) | np.uint64(0xFFFFFFFF - mix(item))


@inner_kernel
def item_of(key: np.uint64) -> int:
    """The item of a key: ``base.mix`` is a bijection of 32 bits, and this its inverse."""
    h = 0xFFFFFFFF - np.int64(key & np.uint64(0xFFFFFFFF))
    h ^= (h >> 13) ^ (h >> 26)
    h = (h * 3066638151) & 0xFFFFFFFF
    h ^= (h >> 15) ^ (h >> 30)
    return int((h * 244002641) & 0xFFFFFFFF)


@inner_kernel
def score_of(key: np.uint64) -> np.float32:
    """The score of a key."""
    ordered = np.int64(key >> np.uint64(32))
    bits = ordered - 2147483648 if ordered >= 2147483648 else -1 - ordered
    return np.int32(bits).view(np.float32)


@inner_kernel
def best_first(keys: UInt64, scratch: tuple[Int32, UInt64], items: Int32, values: Float32) -> None:
    """Write the best keys' items and scores, best first; what is left of ``items`` becomes item 0.

    ``scratch``: a histogram of any length, and as many keys.
    """
    histogram, spare = scratch
    bucket_sort(keys, spare, histogram)
    n = len(keys)
    for r in range(len(items)):
        if r < n:
            items[r] = item_of(keys[n - 1 - r])
            values[r] = score_of(keys[n - 1 - r])
        else:
            items[r] = 0
            values[r] = 0.0


@inner_kernel
def narrow(keys: UInt64, enough: int, histogram: Int32) -> int:
    """Move the best of distinct keys to the front, at least ``enough`` of them; how many.

    Where most scores are equal (texts without a common word) a threshold of scores leaves all of them, and
    sorting them costs more than the scores did.
    """
    low, shift = count_buckets(keys, histogram)
    above, least = 0, len(histogram)
    while above < enough:
        least -= 1
        above += histogram[least]
    n = 0
    for p in range(len(keys)):
        keys[n], n = keys[p], n + (1 if int((keys[p] - low) >> shift) >= least else 0)
    return n


@kernel
def select(scores: Float32, ids: Int32, scratch: tuple[Int32, UInt64], items: Int32, values: Float32) -> None:
    """The best of distinct items, best first, equal ones by their hash; item 0 where there are too few.

    Parameters
    ----------
    scores, ids
        Shape (n,).
    scratch
        A histogram of any length, and two rows of at least n keys.
    items, values
        Written.
    """
    histogram, keys, spare = scratch[0], scratch[1][0], scratch[1][1]
    limit = threshold(scores, histogram[:0], len(items), histogram)
    n = 0
    for p in range(len(scores)):
        keys[n] = key_of(scores[p], ids[p])
        n += 0 if scores[p] < limit else 1
    while n > TIES * len(items):
        fewer = narrow(keys[:n], len(items), histogram)
        if fewer == n:
            break
        n = fewer
    best_first(keys[:n], (histogram, spare), items, values)
