"""Content: items whose vectors resemble those of the person's recent items."""

from collections.abc import Iterable, Sequence
from typing import Final

import numpy as np

from models.arena import Arena
from models.components.base import Queries
from models.components.texts import DIMENSION, HashedTexts
from models.components.transitions import ignored
from models.components.vectors import VectorTable
from models.jit import fast_kernel
from schemas.catalogue import Item
from schemas.embeddings import Embedding
from schemas.signals import Float32, Int32, UInt8

DECAY: Final = 0.9
WINDOW: Final = 30
SKETCH: Final = 64


class Content:
    """Cosine of an item's vector and the person's profile, the lag-weighted mean of recent vectors.

    Not a fold: vectors arrive on another topic than signals and reach learning only as features
    inside a probe row.  Works in *universe* slots, so an item that nobody ever touched can be proposed.
    Until an encoder's vectors arrive for an item, hashed TF-IDF of its text stands in; vectors of two
    kinds are never compared: a person's profile is kept per kind.
    """

    name = "content"
    columns: tuple[str, ...] = ("content",)
    extras: tuple[str, ...] = ("content_last",)

    def __init__(self) -> None:
        self.texts = HashedTexts()
        self.tokens: dict[int, Int32] = {}
        self.hashed = VectorTable(DIMENSION)
        self.encoded: VectorTable | None = None
        self.short = Arena()
        self.short.declare("vector", np.float32, (SKETCH,))
        self.version = ""
        self._stale_at = 32

    def __bool__(self) -> bool:
        """Whether any item has a vector."""
        return bool(self.tokens) or self.n_encoded > 0

    @property
    def n_encoded(self) -> int:
        """Items with an encoder's vector."""
        return 0 if self.encoded is None else self.encoded.filled

    @property
    def without_vectors(self) -> bool:
        """Whether hashed text stands in though there is an encoder: most items lack its (newest) vectors."""
        return self.encoded is not None and self._serving() is self.hashed and bool(self.tokens)

    def describe(self, slots: Int32, items: Sequence[Item]) -> None:
        """Take texts; idf weights are renewed whenever the catalogue has doubled."""
        if not len(slots):
            return
        newest = dict(zip(slots.tolist(), items, strict=True))
        for slot, item in newest.items():
            tokens = self.texts.tokens(f"{item.title} {item.description}", item.categories + item.tags)
            if slot not in self.tokens:
                self.texts.count(tokens)
            self.tokens[slot] = tokens
        self._place(newest)
        if len(self.tokens) >= self._stale_at:
            self._stale_at = 2 * len(self.tokens)
            self._place(self.tokens)

    def embed(self, slots: Int32, embeddings: Sequence[Embedding]) -> None:
        """Take an encoder's vectors; those of another model version than the newest are dropped."""
        for slot, embedding in zip(slots.tolist(), embeddings, strict=True):
            version = f"{embedding.model}/{embedding.version}/{embedding.modality}"
            if self.encoded is None or version != self.version:
                self.encoded, self.version = VectorTable(embedding.dim), version
            vector = embedding.array()
            norm = float(np.sqrt((vector * vector).sum()))
            if np.isfinite(norm) and norm > 0:
                self.encoded.put(np.array([slot], np.int32), (vector / norm)[None])
                self._sketch(slot, self.encoded.vectors[slot])

    def unembed(self, slots: Int32) -> None:
        """Drop an encoder's vectors; where no item has many, hashed text serves again."""
        if self.encoded is None:
            return
        for slot in slots.tolist():
            if self.encoded.has(slot):
                nothing = np.zeros((1, self.encoded.vectors.shape[1]), np.float32)
                self.encoded.put(np.array([slot], np.int32), nothing)
                hashed = self._serving() is self.hashed and slot in self.tokens
                self._sketch(slot, self.hashed.vectors[slot] if hashed else nothing[0])

    def sketches(self, n_items: int) -> Float32:
        """Short unit vectors of all items for diversity, shape (>= n_items, 64); empty without any text."""
        if not self:
            return np.zeros((0, 0), np.float32)
        self.short.reserve(n_items)
        short: Float32 = self.short["vector"]
        return short

    def candidates(self, queries: Queries, k: int) -> tuple[Int32, Float32]:
        """Items of the nearest vectors; slots are universe slots throughout."""
        if not self:
            shape = (len(queries), 1, k)
            return np.zeros(shape, np.int32), np.zeros(shape, np.float32)
        table = self._serving()
        table.reserve(queries.n_items)
        return table.candidates(_profiles(queries, table, WINDOW), queries, k)

    def scores(self, queries: Queries, start: Int32, item: Int32) -> Float32:
        """Of given items: agreement with the profile, and cosine to the newest item alone."""
        out = np.zeros((len(item), 2), np.float32)
        if self:
            table = self._serving()
            table.reserve(queries.n_items)
            mean, newest = _profiles(queries, table, WINDOW), _profiles(queries, table, 1)
            _scores(mean, newest, table.vectors, start, item, out)
        return out

    def _serving(self) -> VectorTable:
        """Encoder vectors once most described items have them, hashed ones before."""
        if self.encoded is not None and 2 * self.n_encoded > len(self.tokens):
            return self.encoded
        return self.hashed

    def _place(self, slots: Iterable[int]) -> None:
        """Vectors of the hashed texts of some slots, by the frequencies of now."""
        which = np.fromiter(slots, np.int32)
        vectors = np.array([self.texts.vector(self.tokens[s]) for s in which.tolist()], np.float32)
        self.hashed.put(which, vectors)
        if self._serving() is self.hashed:
            for slot, vector in zip(which.tolist(), vectors, strict=True):
                self._sketch(slot, vector)

    def _sketch(self, slot: int, vector: Float32) -> None:
        """Fold a vector to 64 places with signs: similar vectors stay similar."""
        self.short.reserve(slot + 1)
        d = len(vector)
        signs = np.where((np.arange(d) * 2654435761 >> 7) & 1, 1.0, -1.0).astype(np.float32)
        out = np.zeros(SKETCH, np.float32)
        np.add.at(out, np.arange(d) % SKETCH, signs * vector)
        norm = float(np.sqrt((out * out).sum()))
        self.short["vector"][slot] = out / norm if norm > 0 else out


def _profiles(queries: Queries, table: VectorTable, window: int) -> Float32:
    """Lag-weighted sums of the newest vectors of each person, shape (n, dimension)."""
    out = np.zeros((len(queries), table.vectors.shape[1]), np.float32)
    _profile((queries.start, queries.item, queries.kind), table.vectors, window, out)
    return out


@fast_kernel
def _profile(x: tuple[Int32, Int32, UInt8], vector: Float32, window: int, out: Float32) -> None:
    start, item, kind = x
    for u in range(len(start) - 1):
        weight = np.float32(1.0)
        for j in range(start[u], min(start[u + 1], start[u] + window)):
            if not ignored(kind[j]):
                out[u] += weight * vector[item[j]]
            weight *= np.float32(DECAY)


@fast_kernel
def _scores(mean: Float32, newest: Float32, vector: Float32, start: Int32, item: Int32, out: Float32) -> None:
    for u in range(len(mean)):
        for p in range(start[u], start[u + 1]):
            v, w = np.float32(0.0), np.float32(0.0)
            for j in range(mean.shape[1]):
                v += mean[u, j] * vector[item[p], j]
                w += newest[u, j] * vector[item[p], j]
            out[p, 0], out[p, 1] = v, w
