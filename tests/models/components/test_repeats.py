"""Gaps of any value have a bin."""

import numpy as np
import pytest

from models.components.repeats import bin_of


@pytest.mark.parametrize(
    ("gap", "expected"),
    [(np.nan, 0), (-5e9, 0), (-0.5, 0), (0.0, 0), (1.0, 1), (6.9, 2), (7.0, 3), (3e38, 31), (np.inf, 31)],
)
def test_every_gap_has_a_bin(gap, expected):
    """What is no time at all as well: an index out of bounds would write over other memory."""
    assert bin_of(np.float32(gap)) == expected
