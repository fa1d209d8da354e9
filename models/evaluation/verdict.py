"""What the figures of an evaluation say, in plain words."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from models.evaluation.contest import FUSED
from models.evaluation.tally import STRUCK, Tally

FEW_TESTS = 500
"""Below so many tests the intervals are wide, and the verdict says so."""
FEW_PEOPLE = 20
"""Resamples of fewer people differ too little: intervals come out too narrow, of one person as a point."""
COMMON = 0.02
"""A share of events that is worth a word."""
TIES = 0.2


@dataclass(frozen=True, slots=True)
class Question:
    """What the verdict is about.

    Parameters
    ----------
    components
        Columns of the components that were left in.
    popularity
        The one that is the popularity baseline; None if it was left out.
    keep_seen, catalogue
        As in ``Plan``.
    """

    components: Sequence[str]
    popularity: str | None = None
    keep_seen: bool = False
    catalogue: bool = False


def verdict(tally: Tally, question: Question) -> str:
    """One paragraph: how good, against what, for whom, carried by what, and what to do.

    Sentences compare by paired 95 % intervals: what chance could explain is called so.
    """
    if not len(tally):
        return "No event could be tested."
    sentences = [_against_the_best(tally, question)]
    for more in (_against_popularity, _cold_users, _new_items, _carried_by, _own_items, _doubts):
        sentences.extend(more(tally, question))
    return " ".join(sentences)


def _against_the_best(tally: Tally, question: Question) -> str:
    best, fused = tally.best(question.components), tally.mean(FUSED)
    gain, low, high = tally.advantage(FUSED, best)
    hits = sum(0 < rank <= 10 for rank in tally.ranks[FUSED])
    against = _against(gain, tally.mean(best), f"the best single component, {best}")
    return (
        f"On this log the fused list scores NDCG@10 {fused:.4f} (the item that came was among the first ten "
        f"in {hits:,} of {len(tally):,} tests), {against}; {_sure(low, high)}."
    )


def _against_popularity(tally: Tally, question: Question) -> Iterator[str]:
    if question.popularity is None:
        return
    popular = tally.mean(question.popularity)
    gain, low, high = tally.advantage(FUSED, question.popularity)
    if popular > 0:
        yield f"That is {_against(gain, popular, 'popular items alone')}; {_sure(low, high)}."
    else:
        yield "Popular items alone never list what comes."


def _cold_users(tally: Tally, question: Question) -> Iterator[str]:
    tests = int(tally.within("cold_user").sum())
    if not tests:
        return
    text = (
        f"In a person's first three events ({tests:,} tests) it scores {tally.mean(FUSED, 'cold_user'):.4f}"
    )
    if question.popularity is None:
        yield text + "."
        return
    gain, low, high = tally.advantage(FUSED, question.popularity, "cold_user")
    popular = tally.mean(question.popularity, "cold_user")
    yield f"{text}, {_against(gain, popular, 'popular items')}; {_sure(low, high)}."


def _new_items(tally: Tally, question: Question) -> Iterator[str]:
    new = tally.within("new_item")
    tests = int(new.sum())
    if not tests:
        return
    if not question.catalogue:
        if tests >= COMMON * len(tally):
            yield (
                f"{_share(tests / len(tally))} of the tests are an item's first event, which counts as a "
                "miss: with --catalogue, and what --items FILE says of them, such items can be listed."
            )
        return
    hits = sum(0 < r <= 10 for r, n in zip(tally.ranks[FUSED], new, strict=True) if n)
    yield f"Of {tests:,} items at their very first event {hits:,} were among the first ten."


def _carried_by(tally: Tally, _: Question) -> Iterator[str]:
    shares = tally.margins.shares() if tally.margins else {}
    leading = [(name, share) for name, share in shares.items() if share >= 0.1][:3]
    if leading:
        text = ", ".join(f"{name} {_share(share)}" for name, share in leading)
        yield f"Above the other candidates, what came is lifted by {text}."


def _own_items(tally: Tally, question: Question) -> Iterator[str]:
    share = tally.repeats / max(tally.events, 1)
    text = f"{_share(share, 1)} of the events are of an item that the person already had"
    if not question.keep_seen:
        if share >= COMMON:
            yield f"{text}: run again with --keep-seen to see whether listing own items pays."
        else:
            yield f"{text}: own items are rightly kept off the lists (engine.exclude_seen = true)."
        return
    gain, low, high = tally.advantage(FUSED, STRUCK)
    change = f"listing own items changes NDCG@10 by {_percent(gain, tally.mean(STRUCK))}"
    if low > 0:
        advice = "keep them listed (engine.exclude_seen = false)"
    elif high < 0:
        advice = "keep them off the lists (engine.exclude_seen = true)"
    else:
        advice = "chance could explain it: engine.exclude_seen may be either"
    yield f"{text}; {change}: {advice}."


def _doubts(tally: Tally, _: Question) -> Iterator[str]:
    if tally.tied >= TIES * tally.events:
        yield (
            f"{_share(tally.tied / tally.events)} of the events share their time with the person's event "
            "before; where their order is that of the file, it may tell more than a live stream would: "
            "compare with --shuffle-ties 1."
        )
    if len(tally) < FEW_TESTS:
        yield f"{len(tally):,} tests are few: give a longer log, or --every 1."
    people = len(set(tally.person))
    if people < FEW_PEOPLE:
        yield f"Only {people:,} people were tested, too few to resample: trust no interval."


def _against(difference: float, other: float, label: str) -> str:
    """A score against another one.

    Examples
    --------
    >>> _against(0.01, 0.1, "popular items"), _against(0.2, 0.1, "popular items")
    ('+10.0 % against popular items (0.1000)', '3 times that of popular items (0.1000)')
    """
    if other > 0 and difference >= other:
        return f"{(other + difference) / other:.2g} times that of {label} ({other:.4f})"
    return f"{_percent(difference, other)} against {label} ({other:.4f})"


def _share(value: float, digits: int = 0) -> str:
    return f"{100 * value:.{digits}f} %"


def _percent(difference: float, of: float) -> str:
    """A difference in per cent.

    Examples
    --------
    >>> _percent(0.01, 0.1), _percent(-0.02, 0.1), _percent(0.1, 0.0)
    ('+10.0 %', '-20.0 %', '+0.1000')
    """
    return f"{100 * difference / of:+.1f} %" if of > 0 else f"{difference:+.4f}"


def _sure(low: float, high: float) -> str:
    sure = "the difference is beyond chance" if low > 0 or high < 0 else "chance could explain the difference"
    return f"{sure} (95 % interval {low:+.4f} to {high:+.4f})"
