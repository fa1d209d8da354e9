"""Pending lists: earliest deadline first, one push per person, bounded."""

import asyncio
from collections import Counter

import pytest

from schemas.events import Click, Impression, Request
from streams.observer import NullObserver
from streams.triggers import Trigger, TriggerQueue, trigger_of


class Shed(NullObserver):
    def __init__(self):
        self.reasons = Counter()

    def on_shed(self, reason, triggers):
        self.reasons[reason] += triggers


def push(user: str, n: int, deadline: float = 0.0, partition: int = 0) -> Trigger:
    return Trigger(f"e{n}", user, partition, n, deadline, 0, 0, "home")


def ask(user: str, n: int, deadline: float = 0.0) -> Trigger:
    request = Request(event_id=f"r{n}", user_id=user, ts=0, request_id=f"r{n}")
    return Trigger(f"r{n}", user, 0, n, deadline, 0, 0, "home", request)


@pytest.fixture
def queue():
    shed, closed = Shed(), []
    made = TriggerQueue(3, closed.append, shed)
    made.shed, made.closed = shed, closed
    return made


def test_the_most_urgent_comes_first(queue):
    """Deadlines decide; among equals, the order of arrival."""
    for n, deadline in enumerate([5.0, 1.0, 1.0]):
        queue.put(push(f"u{n}", n, deadline))
    assert [t.trigger_id for t in queue.take(2)] == ["e1", "e2"]
    assert [t.trigger_id for t in queue.take(2)] == ["e0"]


def test_a_new_event_replaces_the_push_and_keeps_its_place(queue):
    """One pending push per person, for the newest event, at the first one's deadline."""
    queue.put(push("u", 1, deadline=1.0))
    queue.put(push("v", 2, deadline=2.0))
    queue.put(push("u", 3, deadline=9.0))
    assert [t.trigger_id for t in queue.take(9)] == ["e3", "e2"]
    assert [t.trigger_id for t in queue.closed] == ["e1"]
    assert queue.shed.reasons == {"superseded": 1}


def test_every_request_is_answered_for_itself(queue):
    """Requests of one person are never merged."""
    queue.put(ask("u", 1))
    queue.put(ask("u", 2))
    queue.put(push("u", 3))
    assert len(queue.take(9)) == 3


async def test_pushes_are_shed_and_requests_hold_back(queue):
    """Above the limit a push is dropped and counted; a request stays and closes the room."""
    for n in range(3):
        queue.put(push(f"u{n}", n))
    queue.put(push("late", 3))
    assert queue.shed.reasons == {"overload": 1}
    queue.put(ask("u", 4))
    assert len(queue) == 4
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(queue.room(), 0.01)
    queue.take(2)
    await asyncio.wait_for(queue.room(), 1)


def test_triggers_of_a_lost_partition_are_forgotten(queue):
    """Whoever owns the partition now finds them in the log."""
    queue.put(push("u", 1, partition=0))
    queue.put(push("v", 2, partition=1))
    queue.drop([0])
    assert [t.user_id for t in queue.take(9)] == ["v"]


def test_what_asks_for_a_list():
    """Requests always; clicks when pushes are on; impressions never."""
    clicked = Click(event_id="c", user_id="u", ts=1, item_id="a")
    shown = Impression(event_id="i", user_id="u", ts=1, item_id="a")
    asked = Request(event_id="r", user_id="u", ts=1, request_id="q")
    assert trigger_of(clicked, 0, 1, deadline=0, arrived=0, pushes=True).trigger_id == "c"
    assert trigger_of(clicked, 0, 1, deadline=0, arrived=0, pushes=False) is None
    assert trigger_of(shown, 0, 1, deadline=0, arrived=0, pushes=True) is None
    assert trigger_of(asked, 0, 1, deadline=0, arrived=0, pushes=False).trigger_id == "q"
