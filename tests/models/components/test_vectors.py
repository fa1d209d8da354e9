"""The table of vectors: cells find what a full comparison finds, and nothing that is not there."""

from dataclasses import replace

import numpy as np
import pytest

from models.components.base import Marks
from models.components.vectors import VectorTable
from tests.models.components.test_popularity import stranger

D, ITEMS, K = 16, 3000, 20


def clustered(seed: int) -> np.ndarray:
    """Unit vectors around forty centres; row 0 is nobody's."""
    rng = np.random.default_rng(seed)
    vectors = rng.normal(size=(40, D))[rng.integers(0, 40, ITEMS + 1)] + 0.4 * rng.normal(size=(ITEMS + 1, D))
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    return vectors.astype(np.float32)


def tables() -> tuple[VectorTable, VectorTable, np.ndarray]:
    """One with cells and one that compares all, a third of whose slots have no vector any more."""
    vectors = clustered(1)
    both = VectorTable(D, exact=100), VectorTable(D, exact=10**6)
    slots = np.random.default_rng(2).permutation(ITEMS).astype(np.int32) + 1
    for table in both:
        for part in np.array_split(slots, 7):
            table.put(part, vectors[part])
        table.put(slots[:1000], np.zeros((1000, D), np.float32))
    vectors[slots[:1000]] = 0.0
    return *both, vectors


def test_cells_find_most_of_what_a_full_comparison_finds():
    """Of the twenty nearest at least nine in ten; the table, its seeds and the people are fixed."""
    cells, full, vectors = tables()
    assert cells.cells.ready
    assert not full.cells.ready
    people = vectors[vectors.any(axis=1)][:60]
    asked = [replace(stranger(ITEMS + 1), marks=Marks()) for _ in range(2)]
    found = [
        [table.candidates(people[n : n + 1], q, K)[0][0, 0].tolist() for n in range(60)]
        for table, q in zip((cells, full), asked, strict=True)
    ]
    recall = np.mean([len(set(a) & set(b)) / K for a, b in zip(*found, strict=True)])
    assert recall >= 0.9


@pytest.mark.parametrize("which", [0, 1])
def test_what_has_no_vector_is_not_found_and_who_has_none_finds_nothing(which):
    """Dropped vectors are gone at once, with cells and without."""
    table, (_, _, vectors) = tables()[which], tables()
    assert table.filled == ITEMS - 1000
    found, _ = table.candidates(vectors[vectors.any(axis=1)][:1], stranger(ITEMS + 1), ITEMS)
    listed = found[found > 0]
    assert len(set(listed.tolist())) == len(listed)
    assert vectors[listed].any(axis=1).all()
    nobody, values = table.candidates(np.zeros((1, D), np.float32), stranger(ITEMS + 1), K)
    assert not nobody.any()
    assert not values.any()
