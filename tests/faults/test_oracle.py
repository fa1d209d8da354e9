"""The oracle itself: it agrees with the engine where nothing is wrong, and sees each wrong."""

from typing import NamedTuple

import msgspec
from hypothesis import given, settings

from models.policy.decide import decide
from schemas.deadletters import DeadLetter, Headers
from schemas.errors import InvalidMessageError
from schemas.events import Decision
from schemas.ids import stable_hash
from schemas.signals import Cover, SignalBlock
from tests.faults.oracle import Bytes, Findings, Place, judge_letters, judge_rows
from tests.faults.propensities import differ
from tests.faults.stored import kept_of, people_of
from tests.models.policy.lists import asks, catalogue, scored, shelf, view
from tests.models.policy.test_decide import STAMP
from tests.models.users.builders import T0, click, decision, dump, new_shard
from tests.models.users.plain import PlainShard
from tests.properties.test_users import columns, logs

LOG = [
    (e, T0 + 10_000 * n)
    for n, e in enumerate(
        [
            click(0),
            decision("d1", "e0"),
            click(1, decision_id="d1"),
            click(2, item="cup"),
            decision("d2", "e0"),
            click(3),
        ]
    )
]


def both(log, upto):
    """People of the engine's blocks after ``upto`` events, and of the plain fold after all of them."""
    shard, plain = new_shard(), PlainShard()
    shard.apply(*columns(log, 0, upto))
    for offset, (event, broker) in enumerate(log):
        plain.apply(event, offset, broker)
    hashes = {
        e.recommendation.decision_id: stable_hash(e.recommendation.decision_id)
        for e, _ in log
        if isinstance(e, Decision)
    }
    want = {n: kept_of(p, plain.clock, plain.window, hashes) for n, p in plain.people.items()}
    have = {name: kept for data in dump(shard).values() for name, kept in people_of(data)}
    return have, want


@settings(max_examples=60)
@given(logs)
def test_blocks_read_by_their_layout_are_the_plain_fold(log) -> None:
    """Merges, erasures, repeats, second decisions and closed windows included."""
    have, want = both(log, len(log))
    assert have == want


def test_an_event_less_is_a_difference() -> None:
    """The last click is in the log, and not in the state."""
    have, want = both(LOG, len(LOG) - 1)
    assert have["ann"].past == want["ann"].past[:-1]
    assert have != want


def blocks_of(log, cuts):
    """Signals of runs of a log, each a block."""
    shard, blocks = new_shard(), []
    for begin, end in cuts:
        applied = shard.apply(*columns(log, begin, end))
        rows = applied.interactions, applied.exposures, applied.rewards
        names = tuple(map(shard.items.id_of, range(len(shard.items))))
        blocks.append(SignalBlock(Cover(3, 0, begin - 1, end - 1), names, *rows))
    return blocks


def rows_that_differ(blocks) -> list[str]:
    found, plain = Findings(), PlainShard()
    for offset, (event, broker) in enumerate(LOG):
        plain.apply(event, offset, broker)
    judge_rows(found, blocks, plain)
    return [kind for kind, *_ in found.rows_differ]


def test_a_repeated_block_counts_once() -> None:
    """A successor appends what its predecessor had: its cover ends below what was taken."""
    first, second = blocks_of(LOG, [(0, 3), (3, 6)])
    assert rows_that_differ([first, second]) == []
    assert rows_that_differ([first, first, second, first]) == []


def test_a_reward_for_a_wrong_decision_is_seen() -> None:
    """The join says d2, whose trigger had d1 already."""
    first, second = blocks_of(LOG, [(0, 3), (3, 6)])
    second.rewards.decision[-1] = stable_hash("d2")
    assert rows_that_differ([first, second]) == ["rewards"]


def test_a_lost_block_is_seen() -> None:
    """Its rows are missing in every kind."""
    assert rows_that_differ(blocks_of(LOG, [(0, 3), (3, 6)])[1:]) == ["interactions", "exposures", "rewards"]


def made(**settings) -> list[Decision]:
    policy = view(**settings)
    return decide(policy, asks(16), scored(16, 40), items=catalogue(41), stamp=STAMP, shelf=shelf(41))


def test_probabilities_follow_from_the_formula() -> None:
    """With and without a penalty for likeness; the first eight digits of one are enough to be wrong."""
    for one in [*made(variety=0.0), *made(variety=0.9, epsilon=0.2)]:
        items = one.recommendation.items
        assert not differ(one.context, items)
        wrong = msgspec.structs.replace(items[2], propensity=items[2].propensity * (1 - 1e-8))
        assert differ(one.context, (*items[:2], wrong, *items[3:]))


def test_an_item_twice_is_no_list() -> None:
    """Whatever its probabilities."""
    one = made()[0]
    assert differ(one.context, (*one.recommendation.items[:4], one.recommendation.items[0]))


PLACE = "shop.clicks", 0, 7
POISON: dict[Place, Bytes] = {PLACE: (b"ann", b"{")}


class Kept(NamedTuple):
    """A record of ``dead-letters``."""

    key: bytes | None
    value: bytes | None
    headers: Headers


def letter(place: Place = PLACE, value: bytes = b"{", why: str = "cut off") -> Kept:
    topic, partition, offset = place
    error = InvalidMessageError("value", value, why)
    told = DeadLetter.of(error, topic=topic, partition=partition, offset=offset, stage="intake")
    return Kept(b"ann", value, [*told.headers(), ("ce_id", b"e1")])


def letters_wrong(*letters: Kept) -> dict[str, object]:
    found = Findings()
    judge_letters(found, letters, POISON)
    return found.wrong()


def test_a_letter_for_each_poison_and_once_more_after_a_kill() -> None:
    """The same place twice is one record delivered twice."""
    found = Findings()
    assert judge_letters(found, [letter(), letter()], POISON) == {"letters": 1, "letters_again": 1}
    assert found.wrong() == {}


def test_a_letter_that_nobody_meant_is_seen() -> None:
    """A good record beside the poison was refused, and what was said of it is told."""
    good = "shop.clicks", 0, 8
    found = letters_wrong(letter(), letter(good, b'{"item_id":"tea"}', "I do not like tea"))
    assert list(found) == ["letters_unmeant"]
    assert "I do not like tea" in str(found["letters_unmeant"])


def test_a_poison_without_a_letter_is_seen() -> None:
    """It was dropped in silence."""
    assert letters_wrong() == {"letters_missing": {PLACE}}


def test_a_letter_with_other_bytes_is_seen() -> None:
    """Changed on the way, or told in two ways."""
    assert letters_wrong(letter(value=b"{}")) == {"letters_differ": {PLACE}}
    assert letters_wrong(letter(), letter(value=b"")) == {"letters_differ": {PLACE}}
    assert letters_wrong(letter(), letter(why="of a wrong type")) == {"letters_differ": {PLACE}}
