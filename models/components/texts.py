"""Vectors of texts without a language model: hashed TF-IDF, projected to a few dimensions."""

import re
from typing import Final

import numpy as np

from schemas.ids import stable_hash
from schemas.signals import Float32, Int32

BUCKETS: Final = 1 << 18
DIMENSION: Final = 256
_WORD = re.compile(r"[^\W_]{2,}")


class HashedTexts:
    """Inverse document frequencies that grow with the catalogue, and vectors from them.

    Each token goes to one of 2^18 buckets and each bucket to three signed places of the vector, so
    that unrelated texts are nearly orthogonal (Weinberger et al., 2009).
    """

    def __init__(self) -> None:
        self.documents = 0
        self.frequency = np.zeros(BUCKETS, np.float32)
        self._cache: dict[str, int] = {}

    def tokens(self, text: str, labels: tuple[str, ...] = ()) -> Int32:
        """Buckets of a text's distinct words and of whole labels (categories, tags)."""
        words = {w for w in _WORD.findall(text.lower()) if len(w) <= 64}
        names = sorted(words) + sorted({f"={label.lower()}" for label in labels})
        return np.array(sorted({self._bucket(n) for n in names}), np.int32)

    def count(self, tokens: Int32) -> None:
        """Add a document to the frequencies."""
        self.documents += 1
        self.frequency[tokens] += 1.0

    def vector(self, tokens: Int32) -> Float32:
        """Unit vector of a document, shape (256,); zeros for an empty text."""
        out = np.zeros(DIMENSION, np.float32)
        weight = np.log((1.0 + self.documents) / (0.5 + self.frequency[tokens])).astype(np.float32)
        code = tokens.astype(np.uint64)
        for salt in range(3):
            h = (code * np.uint64(0x9E3779B97F4A7C15) + np.uint64(salt + 1)) * np.uint64(0xBF58476D1CE4E5B9)
            h ^= h >> np.uint64(29)
            sign = np.where((h >> np.uint64(40)) & np.uint64(1), 1.0, -1.0).astype(np.float32)
            np.add.at(out, (h % np.uint64(DIMENSION)).astype(np.int64), sign * weight)
        norm = float(np.sqrt((out * out).sum()))
        return np.asarray(out / norm if norm > 0 else out, np.float32)

    def _bucket(self, name: str) -> int:
        bucket = self._cache.get(name)
        if bucket is None:
            bucket = stable_hash(name, "token") % BUCKETS
            self._cache[name] = bucket
        return bucket
