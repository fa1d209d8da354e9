"""What the tail of a log says about lists: undecided, decided, and repeats."""

import msgspec

from schemas.events import Decision, Request, encode_event
from schemas.recommendations import Recommendation
from streams.scan import Open, _look_at_damaged
from streams.triggers import Trigger


def push(user: str, name: str, offset: int) -> Trigger:
    return Trigger(name, user, 0, offset, 0.0, 0, 0, "home")


def ask(user: str, name: str, offset: int) -> Trigger:
    request = Request(event_id=name, user_id=user, ts=0, request_id=name)
    return Trigger(name, user, 0, offset, 0.0, 0, 0, "home", request)


def decision(user: str, trigger: str, name: str = "d") -> Recommendation:
    return Recommendation(
        decision_id=name, trigger_id=trigger, user_id=user, ts=0, surface="home", items=(), arm="treatment",
        policy="treatment", epoch=0, model="",
    )  # fmt: skip


def test_what_has_no_decision_is_left():
    """Requests each for itself; of a person's pushes the last one only."""
    found = Open()
    for trigger in (ask("u", "r1", 1), push("u", "e1", 2), push("u", "e2", 3), ask("u", "r2", 4)):
        found.saw_trigger(trigger)
    found.saw_decision(decision("u", "r1"))
    assert [t.trigger_id for t in found.result(9).undecided] == ["e2", "r2"]


def test_the_first_decision_in_the_log_counts():
    """A zombie's second decision for a trigger is not published again."""
    found = Open()
    found.saw_trigger(ask("u", "r1", 1))
    found.saw_decision(decision("u", "r1", "first"))
    found.saw_decision(decision("u", "r1", "second"))
    assert [d.decision_id for d in found.result(9).decided] == ["first"]


def test_a_repeat_of_a_trigger_changes_nothing():
    """A redelivered request neither moves its place nor comes back after its decision."""
    found = Open()
    found.saw_trigger(ask("u", "r1", 1))
    found.saw_trigger(ask("u", "r1", 5))
    assert [t.offset for t in found.result(9).undecided] == [1]
    found.saw_decision(decision("u", "r1"))
    found.saw_trigger(ask("u", "r1", 7))
    assert found.result(9).undecided == []


def test_a_push_that_a_later_one_stands_for_is_counted_once():
    """A repeat of it does not bring it back; with a decision of its own it does not count."""
    found = Open()
    for trigger in (push("u", "e1", 1), push("u", "e2", 2), push("u", "e1", 3), push("v", "e3", 4)):
        found.saw_trigger(trigger)
    result = found.result(9)
    assert ([t.trigger_id for t in result.undecided], result.superseded) == (["e2", "e3"], 1)
    found.saw_decision(decision("u", "e1"))
    assert found.result(9).superseded == 0


def test_a_decision_that_no_reader_could_read_is_not_made_twice():
    """User state keeps what it needs of it; junk closes nothing."""
    found, whole = Open(), encode_event(Decision(recommendation=decision("u", "r1")))
    found.saw_trigger(ask("u", "r1", 1))
    _look_at_damaged(b'{"type":"decision"}', found)
    assert len(found.result(9).undecided) == 1
    damaged = msgspec.json.decode(whole)
    damaged["recommendation"]["policy"] = None
    _look_at_damaged(msgspec.json.encode(damaged), found)
    result = found.result(9)
    assert (result.undecided, result.decided) == ([], [])
