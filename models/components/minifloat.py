"""Weights in 16 bits: 5 of exponent, 11 of mantissa, no sign; sums by stochastic rounding."""

from typing import Final

import numpy as np
import numpy.typing as npt

from models.counter_random import GOLDEN, finalise
from models.jit import inner_kernel
from schemas.signals import UInt64

UInt16 = npt.NDArray[np.uint16]

BASE: Final = (127 - 16) << 11
"""Codes are the upper 20 bits of a float32 less this: from 2^-16 (below it: 0) to 2^16."""
LEAST: Final = np.float32(2.0**-16)
LARGEST_CODE: Final = 65_535
DROPPED: Final = 12
"""Bits of a float32 that a code lacks."""


@inner_kernel
def decode(code: int) -> np.float32:
    """The weight of a code; codes order as their weights do."""
    bits = np.int32((np.int32(code) + np.int32(BASE)) << np.int32(DROPPED))
    weight = bits.view(np.float32)
    return weight if weight > LEAST else np.float32(0.0)


@inner_kernel
def encode(weight: float, noise: int) -> int:
    """A neighbouring code of a weight: the upper one as often as the weight lies near it.

    So many small additions to a large weight are not lost; the error of a sum stays near 2 % (a relative
    standard deviation of at most ``2^-5.5``) after any number of them.

    Parameters
    ----------
    weight
        Non-negative; larger ones than the largest code's are that one.
    noise
        Uniform in [0, 2^12).
    """
    bits = int(np.float32(weight).view(np.int32)) + noise
    return max(min((bits >> DROPPED) - BASE, LARGEST_CODE), 0)


@inner_kernel
def next_bits(state: UInt64) -> np.uint64:
    """64 random bits; SplitMix64 (Steele et al., 2014)."""
    state[0] += GOLDEN
    return finalise(state[0])
