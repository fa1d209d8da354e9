"""Streams that change, and streams that do not."""

import numpy as np
import pytest

from models.bandit.synthetic import exposures, rewards, rows
from models.drift import DriftWatch
from schemas.signals import Kind


def test_a_change_is_noticed() -> None:
    """A click rate that halves is reported with the rates before and after."""
    rng = np.random.default_rng(0)
    watch = DriftWatch()
    assert not watch.update("clicks", (rng.random(3_000) < 0.2).astype(float))
    found = watch.update("clicks", (rng.random(3_000) < 0.05).astype(float))
    assert found[0].before > found[0].after
    assert 3_000 < found[0].seen < 4_500
    assert watch.mean("clicks") == pytest.approx(0.05, abs=0.02)


def test_a_steady_stream_rarely_alarms() -> None:
    """50 steady streams of 2,000: at most 5 alarm (ADWIN's bound is δ = 0.002 per comparison)."""
    rng = np.random.default_rng(1)
    watch = DriftWatch()
    alarms = sum(bool(watch.update(f"s{i}", (rng.random(2_000) < 0.1).astype(float))) for i in range(50))
    assert alarms <= 5


def test_streams_do_not_mix() -> None:
    """Each has its own window; one never seen has mean 0."""
    watch = DriftWatch()
    watch.update("a", [1.0] * 100)
    watch.update("b", [0.0] * 100)
    assert (watch.mean("a"), watch.mean("b"), watch.mean("c")) == (1.0, 0.0, 0.0)


def test_blocks_are_watched() -> None:
    """Clicks per slot shown, block by block."""
    watch = DriftWatch()
    found = [
        watch.watch(rows(exposures([1] * 20), rewards([1] * (4 if b < 300 else 12)))) for b in range(600)
    ]
    assert not any(found[:300])
    assert any(found[300:])
    bought = rewards([1] * 9, kind=Kind.PURCHASE)
    assert DriftWatch().watch(rows(exposures([1] * 20), bought)) == []


def test_a_rate_must_be_one() -> None:
    """delta is a probability."""
    with pytest.raises(ValueError, match="delta"):
        DriftWatch(1.0)
