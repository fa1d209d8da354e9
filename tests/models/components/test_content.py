"""Vectors of items: taken, replaced and dropped at once."""

import numpy as np

from models.components.content import Content
from schemas.catalogue import Item
from schemas.embeddings import Embedding

DIM = 8


def embedding(item: str, place: int) -> Embedding:
    return Embedding.of(
        np.eye(DIM, dtype=np.float32)[place], item_id=item, model="m", version="1", modality="text",
        text_hash="", ts=0,
    )  # fmt: skip


def described(n: int) -> tuple[Content, np.ndarray]:
    """Items of slots 1 to n, each with a text, and with a vector."""
    content, slots = Content(), np.arange(1, n + 1, dtype=np.int32)
    content.describe(slots, [Item(item_id=f"i{s}", title=f"title {s}") for s in slots])
    content.embed(slots, [embedding(f"i{s}", s % DIM) for s in slots])
    return content, slots


def test_a_dropped_vector_is_gone_at_once() -> None:
    """It is no candidate, counts no more, and resembles nothing."""
    content, slots = described(6)
    content.unembed(np.array([2, 5, 5, 0, 900], np.int32))
    assert content.n_encoded == 4
    assert content.encoded.arena["has"][slots].tolist() == [1, 0, 1, 1, 0, 1]
    assert not content.encoded.vectors[[2, 5]].any()
    assert not content.sketches(7)[[2, 5]].any()
    content.embed(np.array([2], np.int32), [embedding("i2", 3)])
    assert (content.n_encoded, content.encoded.vectors[2, 3]) == (5, 1.0)


def test_hashed_text_serves_again_when_most_vectors_are_gone() -> None:
    """Then an item's short vector is that of its text."""
    content, slots = described(4)
    content.unembed(slots[:3])
    assert content._serving() is content.hashed
    assert content.sketches(5)[3].any()


def test_dropping_before_any_vector_came_changes_nothing() -> None:
    """A tombstone may be the first record that is read."""
    content = Content()
    content.unembed(np.array([1], np.int32))
    assert not content
