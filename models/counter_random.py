"""Random numbers from a seed and a counter: the same numbers in every process and in every order.

Nothing here keeps a global state.  A kernel owns a one-element stream (``UInt64`` of shape (1,)),
starts it with ``mix(seed, counter)`` and draws from it; two streams that start apart never meet in
practice (SplitMix64: Steele, Lea, Flood 2014, "Fast splittable pseudorandom number generators").
"""

import math

import numpy as np

from models.jit import kernel
from schemas.signals import UInt64

GOLDEN = np.uint64(0x9E3779B97F4A7C15)
_M1 = np.uint64(0xBF58476D1CE4E5B9)
_M2 = np.uint64(0x94D049BB133111EB)
_S30 = np.uint64(30)
_S27 = np.uint64(27)
_S31 = np.uint64(31)
_S11 = np.uint64(11)
_TO_UNIT = 2.0**-53
_TINY = 1e-300


@kernel
def finalise(x: np.uint64) -> np.uint64:
    """SplitMix64's output function: every input bit moves every output bit."""
    x = (x ^ (x >> _S30)) * _M1
    x = (x ^ (x >> _S27)) * _M2
    return x ^ (x >> _S31)


@kernel
def mix(seed: np.uint64, counter: int) -> np.uint64:
    """The start of the stream that belongs to (seed, counter)."""
    return finalise(finalise(seed + GOLDEN) + np.uint64(counter) * GOLDEN)


@kernel
def unit(word: np.uint64) -> float:
    """A word as a float64 in [0, 1), 53 bits."""
    return np.float64(word >> _S11) * _TO_UNIT


@kernel
def next_unit(stream: UInt64) -> float:
    """The stream's next number in [0, 1)."""
    stream[0] += GOLDEN
    return unit(finalise(stream[0]))


@kernel
def next_normal(stream: UInt64) -> float:
    """Standard normal (Box and Muller 1958)."""
    radius = math.sqrt(-2.0 * math.log(1.0 - next_unit(stream)))
    return radius * math.cos(2.0 * math.pi * next_unit(stream))


@kernel
def next_gamma(stream: UInt64, shape: float) -> float:
    """Gamma with scale 1; ``shape`` > 0 (Marsaglia and Tsang 2000)."""
    d = (shape if shape >= 1.0 else shape + 1.0) - 1.0 / 3.0
    c = 1.0 / math.sqrt(9.0 * d)
    while True:
        x = next_normal(stream)
        v = 1.0 + c * x
        if v <= 0.0:
            continue
        v = v * v * v
        u = 1.0 - next_unit(stream)
        if u < 1.0 - 0.0331 * x * x * x * x or math.log(u) < 0.5 * x * x + d * (1.0 - v + math.log(v)):
            break
    if shape >= 1.0:
        return d * v
    return d * v * math.exp(math.log(1.0 - next_unit(stream)) / shape)


@kernel
def next_beta(stream: UInt64, alpha: float, beta: float) -> float:
    """Beta; both parameters > 0."""
    x = next_gamma(stream, alpha)
    y = next_gamma(stream, beta)
    return x / (x + y) if x + y > _TINY else alpha / (alpha + beta)
