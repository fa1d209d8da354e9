"""Overload: entered step by step, in the order of what is missed least, left again, without flapping."""

import pytest

from models.engine import Engine
from schemas.settings import KafkaSettings, Settings
from streams.app import create_app
from streams.observer import NullObserver
from streams.overload import CALM_LOOKS, FRESH, THRESHOLDS, Level, Overload


class Levels(NullObserver):
    def __init__(self) -> None:
        self.told: list[int] = []

    def on_overload(self, level: int) -> None:
        self.told.append(level)


def looks(overload: Overload, pressure: float, count: int) -> None:
    for _ in range(count):
        overload.note(pressure)
        overload.look()


def given_up(overload: Overload) -> list[bool]:
    kept = [overload.explanations, overload.vectors, overload.pushes, overload.requests]
    return [not one for one in kept]


def test_each_level_gives_up_one_more_thing_and_gives_it_back() -> None:
    """Explanations, new vectors, pushed lists, requested lists; in the opposite order on the way back."""
    levels = Levels()
    overload = Overload(levels)
    for level in (Level.EXPLANATIONS, Level.VECTORS, Level.PUSHES, Level.REQUESTS):
        looks(overload, THRESHOLDS[level], 2)
        assert given_up(overload) == [True] * level + [False] * (4 - level)
        assert (overload.why() is None) == (level < Level.PUSHES)
    looks(overload, 0.0, 4 * CALM_LOOKS)
    assert given_up(overload) == [False] * 4
    assert levels.told == [1, 2, 3, 4, 3, 2, 1, 0]


@pytest.mark.parametrize(("fetch_wait_ms", "calm", "busy"), [(0, 0.01, 0.04), (10, 0.0, 0.0)])
def test_fetches_gather_for_longer_while_lists_wait(fetch_wait_ms: int, calm: float, busy: float) -> None:
    """What was noted before the last look counts; brokers that must be polled often are not made to wait."""
    settings = Settings(kafka=KafkaSettings(fetch_wait_ms=fetch_wait_ms, gather_ms=10))
    app = create_app(settings, Engine.of(settings))
    assert app.gather_seconds() == calm
    app.runtime.overload.note(100 / settings.lists.deadline_ms)
    assert app.gather_seconds() == calm
    app.runtime.overload.look()
    assert app.gather_seconds() == pytest.approx(busy)
    app.runtime.overload.look()
    assert app.gather_seconds() == calm


def test_one_late_batch_is_no_overload() -> None:
    """A collection, a checkpoint: the pressure must last for two looks."""
    overload = Overload(NullObserver())
    for _ in range(10):
        looks(overload, 5.0, 1)
        looks(overload, 0.0, 1)
    assert overload.level is Level.NOTHING


def test_the_worst_since_the_last_look_counts() -> None:
    """Whatever came after it."""
    overload = Overload(NullObserver())
    for _ in range(2):
        overload.note(0.9)
        overload.note(0.0)
        overload.look()
    assert overload.level is Level.PUSHES


def test_pressure_near_the_threshold_keeps_the_level() -> None:
    """It is left well below where it was entered."""
    overload = Overload(NullObserver())
    looks(overload, THRESHOLDS[Level.PUSHES], 2)
    looks(overload, 0.6 * THRESHOLDS[Level.PUSHES], 10 * CALM_LOOKS)
    assert overload.level is Level.PUSHES


def test_late_pushes_are_shed_and_fresh_ones_are_made() -> None:
    """Only while pushed lists are given up at all; and while some are shed it is not calm."""
    overload = Overload(NullObserver())
    assert not overload.sheds(1.0)
    looks(overload, THRESHOLDS[Level.PUSHES], 2)
    for _ in range(10 * CALM_LOOKS):
        assert overload.sheds(FRESH)
        assert not overload.sheds(0.9 * FRESH)
        overload.look()
    assert overload.level is Level.PUSHES


def test_at_the_last_level_all_pushes_are_shed() -> None:
    """Cheap lists that somebody asked for do not wait for whole ones that nobody did."""
    overload = Overload(NullObserver())
    looks(overload, THRESHOLDS[Level.REQUESTS], 2)
    assert overload.sheds(0.0)


def test_a_load_that_is_none_leaves_the_level_though_lists_are_not_at_once() -> None:
    """Waits just below what is shed at level 3: a spike does not leave a worker there for ever."""
    overload = Overload(NullObserver())
    looks(overload, THRESHOLDS[Level.PUSHES], 2)
    for _ in range(CALM_LOOKS):
        assert not overload.sheds(0.9 * FRESH)
        looks(overload, 0.9 * FRESH, 1)
    assert overload.level is Level.VECTORS


def test_a_level_that_comes_back_stays_longer_each_time() -> None:
    """Load that is too much only while nothing is shed: the switches become rare."""
    levels = Levels()
    overload = Overload(levels)
    for _ in range(1000):
        looks(overload, 0.9 if overload.pushes else 0.1, 1)
    half = [level for level in levels.told if level == Level.PUSHES]
    assert len(half) <= 8
    calm = 1000 / (2 + 2 * CALM_LOOKS)
    assert len(half) < calm / 3
