"""Assignment by hash."""

import numpy as np
import pytest

from models.experiments import ARM_NAMES, Experiment
from schemas.settings import ExperimentSettings
from schemas.signals import Arm


def test_assignment_has_the_stated_share() -> None:
    """100,000 people at 10 %: within 5 sd (false alarm 6e-7)."""
    experiment = Experiment("launch", 0.1)
    held = sum(experiment.arm_of(f"user-{i}") is Arm.HOLDOUT for i in range(100_000))
    assert abs(held - 10_000) < 5 * np.sqrt(100_000 * 0.09)


def test_experiments_are_independent() -> None:
    """Two names split the same people independently: the overlap is that of chance (5 sd)."""
    a, b = Experiment("a", 0.5), Experiment("b", 0.5)
    both = sum(a.arm_of(f"u{i}") is b.arm_of(f"u{i}") for i in range(20_000))
    assert abs(both - 10_000) < 5 * np.sqrt(20_000 / 4)


def test_no_holdout_means_nobody() -> None:
    """A share of 0 holds nobody out."""
    experiment = Experiment.of(ExperimentSettings(name="x", holdout=0.0))
    assert {experiment.arm_of(f"u{i}") for i in range(1_000)} == {Arm.TREATMENT}
    assert ARM_NAMES[experiment.arm_of("u")] == "treatment"


@pytest.mark.parametrize(("name", "holdout"), [("", 0.1), ("x", 1.0), ("x", -0.1), ("x", float("nan"))])
def test_an_experiment_that_makes_no_sense_is_refused(name: str, holdout: float) -> None:
    """At construction."""
    with pytest.raises(ValueError, match=r"holdout|name"):
        Experiment(name, holdout)
