"""Ids as bytes: the index of an interner's ids agrees with its dictionary, whatever the ids."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from models.interning import Interner
from models.packed import Packed, PackedIndex

IDS = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=6)


@given(st.lists(st.lists(IDS, max_size=40), max_size=6))
def test_slots_by_bytes_are_the_slots_by_strings(batches) -> None:
    """Interned as strings or as bytes, in any order and with repeats: one bijection."""
    by_bytes, by_strings = Interner(), Interner()
    for n, batch in enumerate(batches):
        expected = by_strings.intern_many(batch)
        got = by_bytes.intern_packed(Packed(batch)) if n % 2 == 0 else by_bytes.intern_many(batch)
        assert got.tolist() == expected.tolist()
        assert list(by_bytes.pack(got)) == batch
    assert by_bytes.ids == by_strings.ids


def test_an_index_that_has_grown_many_times_finds_everything() -> None:
    """20,000 ids of one to 4,096 bytes in 200 steps; what is not in it is not found."""
    names = [f"item {n}" + "ü" * (2040 if n % 1000 == 0 else n % 7) for n in range(20_000)]
    index = PackedIndex()
    for begin in range(0, len(names), 100):
        index.extend(names[begin : begin + 100])
    order = np.random.default_rng(0).permutation(len(names))
    assert (index.find(Packed(names).take(order)) == order).all()
    assert (index.find(Packed(["item", "item 3 ", ""])) == -1).all()
