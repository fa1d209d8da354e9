"""Which rung a list is made on: the order of what decides, and that each is left again."""

import pytest

from schemas.events import Request
from schemas.ladder import Cause, Rung
from streams.ladder import WHOLE, Ladder
from streams.observer import NullObserver
from streams.overload import CALM_LOOKS, THRESHOLDS, Level, Overload
from streams.triggers import Trigger, trigger_of

DEADLINE_MS = 100.0


@pytest.fixture
def overload() -> Overload:
    return Overload(NullObserver())


def asked() -> Trigger:
    request = Request(event_id="q1", request_id="q1", user_id="u1", ts=0)
    made = trigger_of(request, 0, 7, arrived=0, since=0.0, deadline_ms=DEADLINE_MS, pushes=True)
    assert made is not None
    return made


def pushed() -> Trigger:
    return Trigger("e1", "u1", 0, 7, 2 * DEADLINE_MS, 0, 0, "home")


def press(overload: Overload, pressure: float, looks: int = 2) -> None:
    for _ in range(looks):
        overload.note(pressure)
        overload.look()


def test_only_the_last_level_takes_whole_lists_from_those_who_ask(overload: Overload) -> None:
    """Below it they are made in full; a push that is made at all is always made in full."""
    ladder = Ladder(overload, lambda: WHOLE)
    for level, pressure in THRESHOLDS.items():
        press(overload, pressure)
        assert overload.level is level
        lower = (Rung.SEGMENT, Cause.OVERLOAD) if level is Level.REQUESTS else WHOLE
        assert ladder.step(asked(), 0.0) == lower
        assert ladder.step(pushed(), 0.0) == WHOLE
    press(overload, 0.0, CALM_LOOKS)
    assert ladder.step(asked(), 0.0) == WHOLE


def test_a_request_that_a_whole_batch_would_make_late_comes_from_the_segment(overload: Overload) -> None:
    """As long as batches take so long; then a whole one is tried again.  Nobody waits for a push."""
    ladder = Ladder(overload, lambda: WHOLE)
    late = Rung.SEGMENT, Cause.DEADLINE
    assert ladder.step(asked(), 99.0) == WHOLE
    assert ladder.step(asked(), 101.0) == late
    for _ in range(20):
        ladder.took(WHOLE, 0.15)
    assert ladder.step(asked(), 0.0) == late
    assert ladder.step(pushed(), 1e6) == WHOLE
    tries = 0
    while ladder.step(asked(), 0.0) == late:
        ladder.took(late, 0.001)
        tries += 1
    assert 0 < tries < 20


def test_what_the_models_do_not_know_comes_before_time_and_load(overload: Overload) -> None:
    """There is no segment to fall back on either; the readiness check tells what is missing."""
    missing = Rung.GLOBAL, Cause.MODELS
    ladder = Ladder(overload, lambda: missing)
    press(overload, THRESHOLDS[Level.REQUESTS])
    assert ladder.step(asked(), 1e6) == missing
    assert ladder.step(pushed(), 0.0) == missing
    assert ladder.why() == "lists are made on the rung global-popular: models"
