"""Selection of the best candidates: exact in double precision, equal ones by the item's hash."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from models.components.base import mix
from models.fusion.ranking import best


@given(
    st.lists(
        st.tuples(st.integers(-3, 3), st.sampled_from([0.0, 1e-12, -1e-12, 1e-9])), min_size=1, max_size=60
    ),
    st.integers(1, 70),
    st.integers(0, 2**31),
)
def test_the_best_are_those_of_a_full_sort(near, room, seed):
    """Utilities that differ by less than single precision tells keep their order."""
    item = (np.random.default_rng(seed).permutation(200)[: len(near)] + 1).astype(np.int32)
    utility = np.array([whole + little for whole, little in near])
    room = min(room, len(near))
    out, place = np.zeros(room, np.int32), np.zeros(201, np.int32)
    best(np.array([0, len(near)], np.int32), item, utility, place, np.array([0, room], np.int32), out)
    wanted = sorted(range(len(near)), key=lambda p: (-utility[p], mix(int(item[p]))))
    assert out.tolist() == wanted[:room]
    assert not place.any()
