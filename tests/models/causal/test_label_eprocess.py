"""The label e-process: directions, shapes and bad input."""

import numpy as np
import pytest

from models.causal.label_eprocess import log_e_down, log_e_two_sided, log_e_up
from models.causal.srm import log_e_split


def test_no_data_is_no_evidence() -> None:
    """Every e-process starts at 1."""
    for process in (log_e_two_sided, log_e_down, log_e_up):
        assert process(0.0, 0.0, 0.1) == pytest.approx(0.0, abs=1e-12)
    assert log_e_split((0, 0), (0.9, 0.1)) == pytest.approx(0.0, abs=1e-9)


def test_each_side_sees_its_own_direction() -> None:
    """Too few treated converters speak for harm, too many for gain, and neither for both."""
    harm, gain = (300.0, 100.0, 0.1), (1000.0, 30.0, 0.1)
    assert log_e_down(*harm) > 10
    assert log_e_up(*gain) > 10
    assert max(log_e_up(*harm), log_e_down(*gain)) < 0


@pytest.mark.parametrize("process", [log_e_two_sided, log_e_down, log_e_up])
def test_one_more_conversion_is_fair_under_the_null(process) -> None:  # type: ignore[no-untyped-def]
    """E[E_next / E_now] = 1: from any counts the e-value is a martingale when arms convert alike."""
    now = process(900.0, 130.0, 0.1)
    treated, held = process(901.0, 130.0, 0.1), process(900.0, 131.0, 0.1)
    assert 0.9 * np.exp(treated - now) + 0.1 * np.exp(held - now) == pytest.approx(1, abs=1e-9)


def test_arrays_are_many_experiments() -> None:
    """A vector of counts gives the scalars' values."""
    treated, held = np.array([900.0, 450.0]), np.array([130.0, 80.0])
    both = log_e_down(treated, held, 0.1)
    assert both.tolist() == [log_e_down(900.0, 130.0, 0.1), log_e_down(450.0, 80.0, 0.1)]


@pytest.mark.parametrize("holdout", [0.0, 1.0, -0.1])
def test_a_holdout_without_people_is_refused(holdout: float) -> None:
    """There is nothing to compare with."""
    with pytest.raises(ValueError, match="holdout"):
        log_e_down(1.0, 1.0, holdout)


def test_shares_that_do_not_sum_to_one_are_refused() -> None:
    """A split is a whole."""
    with pytest.raises(ValueError, match="shares"):
        log_e_split((1, 1), (0.9, 0.2))
