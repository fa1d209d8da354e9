"""What was applied before: by coordinates without limit, by event id within the horizon."""

import numpy as np

from models.users.folding import Tally
from schemas.events import Request, Source
from tests.models.users.builders import T0, apply, click, impression, new_shard

HOUR = 3600.0


def test_redelivery_is_recognised_by_coordinates_without_limit() -> None:
    """A source record that comes again after 1,000 others, under another event id, is dropped."""
    shard = new_shard()
    apply(shard, [click(k, item=f"i{k}", at=k) for k in range(1000)])
    again = apply(shard, [click(5000, source=3, at=1001)])
    assert again.counts[Tally.REDELIVERED] == 1
    assert len(again.interactions) == 0
    assert again.duplicates == 1


def test_one_message_may_become_several_events() -> None:
    """Events of one source record differ by index; each is applied once."""
    shard = new_shard()
    make = [click(k, source=None, at=k) for k in range(3)]
    events = [
        type(e)(**{**{f: getattr(e, f) for f in e.__struct_fields__}, "source": Source("p", 0, 0, 7, k)})
        for k, e in enumerate(make)
    ]
    assert len(apply(shard, events).interactions) == 3
    assert len(apply(shard, events).interactions) == 0


def test_another_life_of_a_source_topic_begins_anew() -> None:
    """Offset 0 of a recreated topic is new, though offset 9 of the former life was applied."""
    shard = new_shard()
    apply(shard, [click(0, source=9)])
    event = click(1, at=1)
    reborn_topic = type(event)(
        event_id="x", user_id="ann", item_id="tea", ts=event.ts, source=Source("clicks", 0, 1, 0)
    )
    assert len(apply(shard, [reborn_topic]).interactions) == 1


def test_a_producers_repeat_is_dropped_for_a_day() -> None:
    """The same event id of the same person counts once within 24 hours, whatever the source says."""
    shard = new_shard()
    apply(shard, [click(1, source=1)], at=[0])
    again = click(1, source=2, at=23 * HOUR)
    assert apply(shard, [again], at=[23 * HOUR]).counts[Tally.REPEATED] == 1
    later = click(1, source=3, at=50 * HOUR)
    assert len(apply(shard, [later], at=[50 * HOUR]).interactions) == 1


def test_the_last_sixty_four_ids_are_remembered() -> None:
    """The 64th newest id is still known, an id beyond the bound is not held for ever."""
    shard = new_shard()
    apply(shard, [click(k, source=k, at=0) for k in range(100)], at=[0.0] * 100)
    known = apply(shard, [click(36, source=1000)], at=[0])
    assert known.counts[Tally.REPEATED] == 1
    gone = apply(shard, [click(0, source=1001)], at=[0])
    assert len(gone.interactions) == 1


def test_ids_of_different_people_do_not_meet() -> None:
    """Event ids are the producers': two people may have the same one."""
    assert len(apply(new_shard(), [click(1, "ann", source=1), click(1, "bob", source=2)]).interactions) == 2


def test_without_ids_only_coordinates_count() -> None:
    """``dedup_ids = 0`` turns the second line of defence off."""
    shard = new_shard(dedup_ids=0)
    assert len(apply(shard, [click(1, source=1), click(1, source=2)]).interactions) == 2


def test_events_at_or_below_the_applied_offset_are_skipped() -> None:
    """The partition's own redelivery: rows are given once."""
    shard = new_shard()
    events = [click(k, source=None, at=k) for k in range(10)]
    apply(shard, events)
    again = apply(shard, [*events[5:], click(10, source=None, at=10)], first=5)
    assert again.interactions.offset.tolist() == [10]
    assert again.counts[Tally.REPLAYED] == 5
    assert (again.after, again.to) == (9, 10)


def test_an_impression_counts_but_is_no_interaction() -> None:
    """Seen on the screen is not chosen: no row, no history, a count."""
    shard = new_shard()
    got = apply(shard, [impression(0), click(1, at=1)])
    assert len(got.interactions) == 1
    assert got.interactions.age.tolist() == [0]
    assert shard.counts_of("ann")["impression"] == 1


def test_triggers_are_new_events_that_want_a_list() -> None:
    """Clicks and requests trigger, impressions and repeats do not; a request brings what it asks for."""
    shard = new_shard()
    ask = Request(
        event_id="q", request_id="r9", user_id="bob", ts=T0, k=3, surface="mail", candidates=("a", "b")
    )
    got = apply(shard, [click(0, source=0), click(0, source=1), impression(2), ask])
    pushed, asked = got.triggers()
    assert (pushed.trigger_id, pushed.offset, pushed.request) == ("e0", 0, False)
    assert (asked.trigger_id, asked.k, asked.surface, asked.candidates) == ("r9", 3, "mail", ("a", "b"))
    assert [t.trigger_id for t in got.triggers(requests_only=True)] == ["r9"]
    assert shard.counts_of("bob")["requests"] == 1


def test_sessions_begin_after_a_gap() -> None:
    """Three events, the last an hour later: two sessions."""
    shard = new_shard()
    apply(shard, [click(0, at=0), click(1, at=100), click(2, at=100 + HOUR)])
    assert shard.counts_of("ann")["sessions"] == 2


def test_an_empty_run_gives_nothing() -> None:
    """No events: no rows, nothing applied, a cover of nothing."""
    shard = new_shard()
    got = shard.apply([], np.zeros(0, np.int64), np.zeros(0, np.int64))
    assert (len(got), got.after, got.to, got.triggers()) == (0, -1, -1, [])
