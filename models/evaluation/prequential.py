"""The prequential protocol: every event is first a test, then a lesson.

Events in time order; every ``every``-th asks for the person's list before anything is learned from it
and is scored by the place of its item.  Where own items are excluded, an event of an own item is
learned from and not scored.  An item's first event is a sure miss unless the catalogue is known.
"""

from collections.abc import Callable, Sequence

from models.evaluation.contest import Contest
from models.evaluation.tally import Tally
from models.evaluation.walk import LogEvent, Step, in_order, walk

__all__ = ["LogEvent", "Step", "Tally", "in_order", "run", "walk"]


def nothing(*_: object) -> None:
    """For who wants to be told nothing."""


def run(
    events: Sequence[LogEvent],
    test: Callable[[LogEvent], Contest],
    learn: Callable[[LogEvent], None],
    *,
    describe: Callable[[str], None] = nothing,
    tally: Tally | None = None,
    every: int = 1,
    keep_seen: bool = False,
    progress: Callable[[], None] = nothing,
) -> Tally:
    """Walk a log.

    Parameters
    ----------
    test
        What the contestants list before an event is learned.
    learn
        Take the event in.
    describe
        Tell of an item, just before its first event is learned.
    tally
        Where the tests are counted.
    """
    tally = Tally({}) if tally is None else tally
    for step in walk(events, every=every, keep_seen=keep_seen):
        event = step.event
        if step.ask:
            tally.test(step, test(event))
        if step.new:
            describe(event.item)
        learn(event)
        tally.learn(step)
        progress()
    return tally
