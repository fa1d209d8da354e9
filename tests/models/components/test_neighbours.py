"""Sparse neighbour rows against a dictionary."""

import numpy as np

from models.components.neighbours import KEPT, LARGEST, SLACK, NeighbourPool, place_of
from models.components.neighbours import add as add_to
from models.components.transitions import _decoded


def add(pool: NeighbourPool, row: int, item: int, weight: float) -> None:
    """What learning does for one pair."""
    pool.reserve(row + 1)
    add_to(pool.arrays(), row, item, np.full(pool.width, weight))


def content(pool: NeighbourPool, row: int) -> dict[int, float]:
    """A row as a dictionary."""
    begin, used = int(pool.rows["begin"][row]), int(pool.rows["used"][row])
    weights = np.zeros((used, pool.width), np.float32)
    _decoded(pool.entries["weight"][begin : begin + used], weights)
    ids = pool.entries["id"][begin : begin + used].tolist()
    assert len(set(ids)) == used
    return dict(zip(ids, weights[:, 0].tolist(), strict=True))


def test_rows_are_complete_until_full():
    """Interleaved rows that grow and give their places back hold what was added (whole numbers, exactly)."""
    rng = np.random.default_rng(0)
    pool, truth = NeighbourPool(1), {r: {} for r in range(1, 8)}
    for _ in range(6000):
        row, item = int(rng.integers(1, 8)), int(rng.integers(1, 400))
        add(pool, row, item, 1.0)
        truth[row][item] = truth[row].get(item, 0.0) + 1.0
    assert all(content(pool, r) == truth[r] for r in truth)


def test_a_full_row_keeps_its_heaviest():
    """Beyond 768 neighbours only light ones are forgotten, and the row does not grow further."""
    pool = NeighbourPool(1)
    for item in range(1, 200):
        add(pool, 1, item, 100.0)
    for item in range(200, 5000):
        add(pool, 1, item, 1.0)
    row = content(pool, 1)
    assert all(row[item] == 100.0 for item in range(1, 200))
    assert int(pool.rows["places"][1]) == LARGEST
    assert KEPT <= len(row) <= LARGEST


def test_freed_places_are_used_again():
    """Rows that all grow in step, the worst case, need less than 3.4 times their final size."""
    pool = NeighbourPool(2)
    for item in range(1, 301):
        for row in range(1, 11):
            add(pool, row, item, 1.0)
    assert int(pool.top[0]) <= 3.4 * 10 * 384
    assert pool.entries.capacity >= int(pool.top[0]) + SLACK


def test_absent_items_are_found_absent():
    """Looking for an item that a row lacks says so; one that it has is found anywhere in the row."""
    pool = NeighbourPool(1)
    for item in range(5, 105):
        add(pool, 1, item, 1.0)
    begin, used, ids = int(pool.rows["begin"][1]), int(pool.rows["used"][1]), pool.entries["id"]
    assert place_of(ids, begin, used, 4) == -1
    assert all(ids[place_of(ids, begin, used, item)] == item for item in range(5, 105))
