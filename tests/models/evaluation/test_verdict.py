"""The paragraph says what the figures say, and no more."""

import pytest

from models.evaluation.tally import Tally
from models.evaluation.verdict import Question, verdict
from models.evaluation.walk import LogEvent, walk
from tests.models.evaluation.contests import made_up, tally_of

QUESTION = Question(("strong", "popular"), popularity="popular")


def people(n, item="x"):
    """One event each."""
    return [LogEvent(f"u{i}", item, float(i)) for i in range(n)]


def test_it_compares_with_the_best_and_with_popularity():
    """Named, in per cent and in times, each with what chance could do."""
    tally = tally_of(people(600), [{"fused": 1, "strong": 2, "popular": 9}] * 600)
    text = verdict(tally, QUESTION)
    assert "the fused list scores NDCG@10 1.0000" in text
    assert "in 600 of 600 tests" in text
    assert (
        "+58.5 % against the best single component, strong (0.6309); the difference is beyond chance" in text
    )
    assert "That is 3.3 times that of popular items alone (0.3010)" in text
    assert "first three events (600 tests) it scores 1.0000" in text
    assert "few" not in text


def test_a_difference_within_chance_is_called_so():
    """Equal lists: the interval holds 0."""
    places = [{"fused": 1 + n % 3, "strong": 1 + (n + 1) % 3, "popular": 0} for n in range(90)]
    text = verdict(tally_of(people(90), places), QUESTION)
    assert "chance could explain the difference" in text
    assert "Popular items alone never list what comes." in text
    assert "90 tests are few" in text


def test_a_few_people_are_no_sample():
    """Resampling one person gives the same mean every time: a point for an interval, which proves nothing."""
    events = [LogEvent("u", f"i{n}", float(n)) for n in range(600)]
    text = verdict(tally_of(events, [{"fused": 1, "strong": 2, "popular": 9}] * 600), QUESTION)
    assert text.endswith("Only 1 people were tested, too few to resample: trust no interval.")


def test_popularity_left_out_is_not_spoken_of():
    """Without the baseline's column."""
    tally = tally_of(people(20), [{"fused": 1, "strong": 2}] * 20)
    text = verdict(tally, Question(("strong",)))
    assert "opular" not in text
    assert "first three events (20 tests) it scores 1.0000." in text


def test_new_items():
    """Sure misses without a catalogue, counted hits with one."""
    log = [LogEvent(f"u{i}", f"i{i}", float(i)) for i in range(50)]
    tally = tally_of(log, [{"fused": n % 2, "strong": 0, "popular": 0} for n in range(50)])
    assert "100 % of the tests are an item's first event" in verdict(tally, QUESTION)
    known = Question(("strong", "popular"), popularity="popular", catalogue=True)
    assert "Of 50 items at their very first event 25 were among the first ten." in verdict(tally, known)


@pytest.mark.parametrize(
    ("own", "above", "said"),
    [
        (1.0, [], "keep them listed (engine.exclude_seen = false)"),
        (0.0, ["i0"], "keep them off the lists (engine.exclude_seen = true)"),
    ],
)
def test_own_items_kept(own, above, said):
    """Listed own items that come pay; listed ones that only stand above what comes cost."""
    tally = Tally({})
    log = [LogEvent(f"u{n % 40}", "i0" if n < 40 or own else f"j{n}", float(n)) for n in range(160)]
    for step in walk(log, keep_seen=True):
        late = step.number >= 40
        place = 1 + len(above) if late else 0
        tally.test(step, made_up({"fused": place, "strong": 9, "popular": 9}, above=above if late else ()))
        tally.learn(step)
    question = Question(("strong", "popular"), popularity="popular", keep_seen=True)
    assert said in verdict(tally, question)


def test_own_items_excluded():
    """The share of repeats decides whether to look at it again."""
    log = [LogEvent("a", "x" if n % 2 else f"i{n}", float(n)) for n in range(40)]
    often = tally_of(log, [{"fused": 1, "strong": 2, "popular": 3}] * 40, keep_seen=False)
    assert "47.5 % of the events are of an item that the person already had: run again" in verdict(
        often, QUESTION
    )
    never = tally_of(people(40), [{"fused": 1, "strong": 2, "popular": 3}] * 40, keep_seen=False)
    assert "0.0 % of the events are of an item that the person already had: own items are rightly" in verdict(
        never, QUESTION
    )


def test_tied_times_are_a_doubt():
    """Where the file's order decides, it is said."""
    log = [LogEvent("a", f"i{n}", 0.0) for n in range(30)]
    text = verdict(tally_of(log, [{"fused": 1, "strong": 2, "popular": 3}] * 30), QUESTION)
    assert "97 % of the events share their time with the person's event before;" in text


def test_nothing_tested():
    """No figures, no claims."""
    assert verdict(Tally({}), QUESTION) == "No event could be tested."
