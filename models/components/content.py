"""Content: items whose vectors resemble those of the person's recent items."""

from collections.abc import Sequence
from typing import Final

import numpy as np

from models.arena import Arena
from models.components.base import Queries, ban, offer, unheap
from models.components.texts import DIMENSION, HashedTexts
from models.components.transitions import ignored
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
        self.hashed = Arena()
        self.hashed.declare("vector", np.float32, (DIMENSION,))
        self.hashed.declare("has", np.uint8)
        self.short = Arena()
        self.short.declare("vector", np.float32, (SKETCH,))
        self.encoded: Arena | None = None
        self.version = ""
        self.n_encoded = 0
        self._stale_at = 32

    def __bool__(self) -> bool:
        """Whether any item has a vector."""
        return bool(self.tokens) or self.n_encoded > 0

    def describe(self, slots: Int32, items: Sequence[Item]) -> None:
        """Take texts; idf weights are renewed whenever the catalogue has doubled."""
        if not len(slots):
            return
        self.hashed.reserve(int(slots.max()) + 1)
        for slot, item in zip(slots.tolist(), items, strict=True):
            tokens = self.texts.tokens(f"{item.title} {item.description}", item.categories + item.tags)
            if slot not in self.tokens:
                self.texts.count(tokens)
            self.tokens[slot] = tokens
            self._place(slot, tokens)
        if len(self.tokens) >= self._stale_at:
            self._stale_at = 2 * len(self.tokens)
            for slot, tokens in self.tokens.items():
                self._place(slot, tokens)

    def embed(self, slots: Int32, embeddings: Sequence[Embedding]) -> None:
        """Take an encoder's vectors; those of another model version than the newest are dropped."""
        for slot, embedding in zip(slots.tolist(), embeddings, strict=True):
            version = f"{embedding.model}/{embedding.version}/{embedding.modality}"
            if self.encoded is None or version != self.version:
                self.encoded = Arena()
                self.encoded.declare("vector", np.float32, (embedding.dim,))
                self.encoded.declare("has", np.uint8)
                self.version, self.n_encoded = version, 0
            self.encoded.reserve(slot + 1)
            vector = embedding.array()
            norm = float(np.sqrt((vector * vector).sum()))
            if np.isfinite(norm) and norm > 0:
                self.n_encoded += 1 - int(self.encoded["has"][slot])
                self.encoded["vector"][slot] = vector / norm
                self.encoded["has"][slot] = 1
                self._sketch(slot, self.encoded["vector"][slot])

    def unembed(self, slots: Int32) -> None:
        """Drop an encoder's vectors; where no item has many, hashed text serves again."""
        if self.encoded is None:
            return
        for slot in slots.tolist():
            if slot >= len(self.encoded["has"]) or not self.encoded["has"][slot]:
                continue
            self.encoded["has"][slot] = 0
            self.encoded["vector"][slot] = 0.0
            self.n_encoded -= 1
            hashed = self._serving() is self.hashed and slot in self.tokens
            self._sketch(slot, self.hashed["vector"][slot] if hashed else self.encoded["vector"][slot])

    def sketches(self, n_items: int) -> Float32:
        """Short unit vectors of all items for diversity, shape (>= n_items, 64); empty without any text."""
        if not self:
            return np.zeros((0, 0), np.float32)
        self.short.reserve(n_items)
        short: Float32 = self.short["vector"]
        return short

    def candidates(self, queries: Queries, k: int) -> tuple[Int32, Float32]:
        """Items of the nearest vectors; slots are universe slots throughout."""
        n = len(queries)
        items, values = np.zeros((n, 1, k), np.int32), np.zeros((n, 1, k), np.float32)
        if self:
            arena = self._serving()
            arena.reserve(queries.n_items)
            profile = self._profiles(queries, arena)
            stamp = queries.marks.take(n, queries.n_items)
            _top(
                (profile, arena["vector"], arena["has"]),
                queries.n_items,
                (queries.ban_start, queries.ban_item),
                queries.marks.stamp,
                stamp,
                items,
                values,
            )
        return items, values

    def scores(self, queries: Queries, start: Int32, item: Int32) -> Float32:
        """Of given items: agreement with the profile, and cosine to the newest item alone."""
        out = np.zeros((len(item), 2), np.float32)
        if self:
            arena = self._serving()
            arena.reserve(queries.n_items)
            for column, window in enumerate((WINDOW, 1)):
                _scores(self._profiles(queries, arena, window), arena["vector"], start, item, out[:, column])
        return out

    def _serving(self) -> Arena:
        """Encoder vectors once most described items have them, hashed ones before."""
        if self.encoded is not None and 2 * self.n_encoded > len(self.tokens):
            return self.encoded
        return self.hashed

    def _profiles(self, queries: Queries, arena: Arena, window: int = WINDOW) -> Float32:
        out = np.zeros((len(queries), arena["vector"].shape[1]), np.float32)
        _profile((queries.start, queries.item, queries.kind), arena["vector"], window, out)
        return out

    def _place(self, slot: int, tokens: Int32) -> None:
        self.hashed["vector"][slot] = self.texts.vector(tokens)
        self.hashed["has"][slot] = 1 if len(tokens) else 0
        if self._serving() is self.hashed:
            self._sketch(slot, self.hashed["vector"][slot])

    def _sketch(self, slot: int, vector: Float32) -> None:
        """Fold a vector to 64 places with signs: similar vectors stay similar."""
        self.short.reserve(slot + 1)
        d = len(vector)
        signs = np.where((np.arange(d) * 2654435761 >> 7) & 1, 1.0, -1.0).astype(np.float32)
        out = np.zeros(SKETCH, np.float32)
        np.add.at(out, np.arange(d) % SKETCH, signs * vector)
        norm = float(np.sqrt((out * out).sum()))
        self.short["vector"][slot] = out / norm if norm > 0 else out


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
def _top(
    x: tuple[Float32, Float32, UInt8],
    n_items: int,
    bans: tuple[Int32, Int32],
    marks: Int32,
    stamp: int,
    items: Int32,
    values: Float32,
) -> None:
    profile, vector, has = x
    d = profile.shape[1]
    for u in range(len(profile)):
        length = np.float32(0.0)
        for j in range(d):
            length += profile[u, j] * profile[u, j]
        if length <= 0.0:
            continue
        ban(marks, stamp + u, bans[1], bans[0][u], bans[0][u + 1])
        size = 0
        best_values, best_items = values[u, 0], items[u, 0]
        k = len(best_items)
        for i in range(1, n_items):
            if has[i] == 0 or marks[i] >= stamp + u:
                continue
            v = np.float32(0.0)
            for j in range(d):
                v += profile[u, j] * vector[i, j]
            if size < k or v >= best_values[0]:
                size = offer(best_values, best_items, size, float(v), i)
        unheap(best_values, best_items, size)


@fast_kernel
def _scores(profile: Float32, vector: Float32, start: Int32, item: Int32, out: Float32) -> None:
    for u in range(len(profile)):
        for p in range(start[u], start[u + 1]):
            v = np.float32(0.0)
            for j in range(profile.shape[1]):
                v += profile[u, j] * vector[item[p], j]
            out[p] = v
