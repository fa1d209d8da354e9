"""Pending lists: earliest deadline first, one push per person, bounded."""

import asyncio
from collections import Counter
from dataclasses import replace

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


def take_turns(queue: TriggerQueue, events: int, rounds: int) -> None:
    """Each round a person's turn comes after so many events of theirs."""
    for n in range(rounds):
        for event in range(events):
            queue.put(push("u", 10 * n + event))
        queue.take(1)


def test_where_most_are_replaced_before_their_turn_is_noticed_and_forgotten(queue):
    """It takes some two hundred turns to believe it, and to believe that it is over."""
    take_turns(queue, 2, 100)
    assert not queue.coalesces
    take_turns(queue, 2, 156)
    assert queue.coalesces
    take_turns(queue, 1, 256)
    assert not queue.coalesces


def test_one_person_in_a_frenzy_is_no_crowd():
    """Most triggers are theirs, but what waits is everybody else's."""
    queue = TriggerQueue(10_000, lambda _: None, NullObserver())
    for n in range(2_000):
        queue.put(push(f"u{n}", n))
        for event in range(3):
            queue.put(push("bot", 10 * n + event))
        queue.take(1)
    assert len(queue) > 0
    assert not queue.coalesces


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


async def test_bytes_bound_it_too():
    """Requests with many candidates: pushes are shed, the room closes, and nothing but the bound is held."""
    shed = Shed()
    queue = TriggerQueue(10_000, lambda _: None, shed, max_bytes=100_000)
    items = tuple(f"item-{n}" for n in range(200))
    asked = Request(event_id="r", user_id="u", ts=0, request_id="r", candidates=items)
    largest = replace(ask("u", 0), request=asked).size
    for n in range(10_000):
        queue.put(push(f"u{n}", n))
    assert 95_000 < queue.size <= 100_000 + push("u", 1).size
    assert shed.reasons["overload"] == 10_000 - len(queue)
    queue.put(replace(ask("u", 1), request=asked))
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(queue.room(), 0.01)
    assert queue.size <= 100_000 + push("u", 1).size + largest
    queue.take(10_000)
    assert queue.size == 0
    await asyncio.wait_for(queue.room(), 1)


def test_what_waits_is_counted_when_it_is_replaced_or_dropped():
    """Bytes follow the triggers."""
    queue = TriggerQueue(10, lambda _: None, Shed())
    queue.put(push("u", 1))
    queue.put(push("u", 1000))
    assert queue.size == push("u", 1000).size
    queue.drop([0])
    assert queue.size == 0


def test_a_push_that_comes_late_is_shed_and_a_request_is_not():
    """When its turn comes, whoever says so; those behind it are made."""
    shed, closed, late = Shed(), [], {"e1", "r2"}
    queue = TriggerQueue(9, closed.append, shed, sheds=lambda push: push.trigger_id in late)
    queue.put(push("u", 1, deadline=1.0))
    queue.put(ask("u", 2, deadline=2.0))
    queue.put(push("v", 3, deadline=3.0))
    assert [t.trigger_id for t in queue.take(9)] == ["r2", "e3"]
    assert shed.reasons == {"overload": 1}
    assert [t.trigger_id for t in closed] == ["e1"]
    assert queue.size == 0


def test_the_age_of_what_is_most_urgent():
    """As a share of the deployment's deadline, whatever a request says; a push has twice as long."""
    queue = TriggerQueue(9, lambda _: None, Shed())
    assert queue.waited(50.0, 100.0) == 0.0
    queue.put(replace(push("u", 1, deadline=200.0), since=0.0))
    queue.put(replace(ask("u", 2, deadline=101.0), since=100.0))
    assert queue.waited(150.0, 100.0) == 0.5
    queue.take(1)
    assert queue.waited(100.0, 100.0) == 0.5


def test_deadlines():
    """A request's own, else the deployment's; a push has twice as long, so requests go first."""
    clicked = Click(event_id="c", user_id="u", ts=1, item_id="a")
    asked = Request(event_id="r", user_id="u", ts=1, request_id="q")
    hasty = Request(event_id="h", user_id="u", ts=1, request_id="h", deadline_ms=30.0)

    def due(event):
        return trigger_of(event, 0, 1, arrived=0, since=1000.0, deadline_ms=500.0, pushes=True).deadline

    assert [due(e) for e in (clicked, asked, hasty)] == [2000.0, 1500.0, 1030.0]
    late = trigger_of(hasty, 0, 1, arrived=0, since=1000.0, deadline_ms=500.0, pushes=True).renewed(5000.0)
    assert (late.since, late.deadline) == (5000.0, 5030.0)


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
    assert trigger_of(clicked, 0, 1, deadline_ms=0, since=0, arrived=0, pushes=True).trigger_id == "c"
    assert trigger_of(clicked, 0, 1, deadline_ms=0, since=0, arrived=0, pushes=False) is None
    assert trigger_of(shown, 0, 1, deadline_ms=0, since=0, arrived=0, pushes=True) is None
    assert trigger_of(asked, 0, 1, deadline_ms=0, since=0, arrived=0, pushes=False).trigger_id == "q"
