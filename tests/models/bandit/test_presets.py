"""The bandit over fusion presets."""

from dataclasses import replace

import numpy as np
import pytest

from models.bandit.presets import FusionPresets
from models.bandit.synthetic import rows
from schemas.errors import SnapshotError
from schemas.signals import ProbeRows


def probes(maturity, ranks):
    """Rows that say where each column put the item."""
    n = len(maturity)
    empty = ProbeRows.empty()
    columns = {f: np.zeros(n, getattr(empty, f).dtype) for f in ProbeRows.__dataclass_fields__}
    columns["maturity"] = np.array(maturity, np.uint8)
    columns["ranks"] = np.array(ranks, np.int16)
    columns["cand_start"] = np.zeros(n + 1, np.int32)
    columns["features"] = np.zeros((0, 0), np.float32)
    return replace(rows(), probes=ProbeRows(**columns), component_names=("popularity",))


def test_the_better_preset_takes_over_per_maturity() -> None:
    """Newcomers are served by one, old hands by another, each with closed-form probability."""
    presets = FusionPresets()
    presets.learn(probes([0] * 500 + [3] * 500, [[1, 1, 0]] * 500 + [[1, 0, 1]] * 500))
    assert presets.probabilities(0)[0] > 0.99
    assert presets.probabilities(3)[1] > 0.99
    assert presets.probabilities(1).tolist() == [0.5, 0.5]
    for m in (0, 1, 3):
        assert presets.probabilities(m).sum() == pytest.approx(1.0)
        assert (presets.probabilities(m) > 0.0).all()


def test_choices_follow_the_probabilities() -> None:
    """10,000 draws at p = 1/2: within 5 sd (false alarm 6e-7); the same seed, the same choice."""
    presets = FusionPresets()
    names, chances = presets.choose(np.zeros(10_000, np.uint8), np.arange(10_000, dtype=np.uint64))
    assert abs(names.count("fused") - 5_000) < 250
    assert set(chances.tolist()) == {0.5}
    assert names == presets.choose(np.zeros(10_000, np.uint8), np.arange(10_000, dtype=np.uint64))[0]


def test_a_snapshot_belongs_to_its_presets() -> None:
    """Others refuse it."""
    presets = FusionPresets()
    presets.learn(probes([0], [[1, 2, 3]]))
    same = FusionPresets()
    same.restore(presets.snapshot())
    assert same.snapshot() == presets.snapshot()
    with pytest.raises(SnapshotError, match="popularity"):
        presets.restore(FusionPresets(("popularity",)).snapshot())


def test_presets_that_make_no_sense_are_refused() -> None:
    """None, twice, without sharpness, or unknown to the probes."""
    for bad in ((), ("fused", "fused")):
        with pytest.raises(ValueError, match="presets"):
            FusionPresets(bad)
    with pytest.raises(ValueError, match="gamma"):
        FusionPresets(gamma=0.0)
    with pytest.raises(ValueError, match="no probe column 'best'"):
        FusionPresets(("best",)).learn(probes([0], [[1, 2, 3]]))
