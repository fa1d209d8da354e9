"""An encoder proves itself before its vectors join others."""

import numpy as np

from workers.encoder.protocol import EncodeError, Vectors

MIN_COSINE = 0.999
"""Against float32, for the worst of the probe texts; bfloat16 on sound hardware gives 0.9999."""

PROBE_TEXTS: tuple[str, ...] = (
    "tea",
    "Green tea, 20 bags. Grocery. Drinks. Japanese sencha with a light, grassy taste.",
    "Wireless headphones with active noise cancelling and 30 hours of battery",
    "Kopfhörer, kabellos, schwarz",
    "无线耳机",
    "écouteurs sans fil, étui de charge inclus",
    "size 42 EU / 8.5 US",
    "Organic whole milk 1 L",
    '4K UHD 55" smart television, HDR10+, wall mount not included',
    "Children's picture book about a small owl that is afraid of the dark, ages three to five",
    "hammer",
    "Stainless steel kitchen knife set (7 pieces) with block",
    "!!! SALE !!! 50% OFF !!!",
    "🎁 gift card",
    "SKU 000-123-XYZ",
    "running shoes " * 60,
)
"""Short, long, other scripts, digits, signs: what an item's text may look like."""


def worst_cosine(vectors: Vectors, expected: Vectors) -> float:
    """The smallest cosine between rows of two arrays of unit vectors of shape (n, dim).

    Raises
    ------
    EncodeError
        A vector is not finite.

    Examples
    --------
    >>> worst_cosine(np.eye(2, dtype=np.float32), np.eye(2, dtype=np.float32))
    1.0
    """
    if not (np.isfinite(vectors).all() and np.isfinite(expected).all()):
        raise EncodeError("the encoder returned a vector that is not finite")
    return float((vectors * expected).sum(1).min())
