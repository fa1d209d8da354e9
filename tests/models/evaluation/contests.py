"""Contests and tallies that tests make up."""

from collections.abc import Iterable, Mapping, Sequence

import numpy as np

from models.evaluation.contest import Contest
from models.evaluation.tally import Tally
from models.evaluation.walk import LogEvent, walk
from models.fusion.scored import ScoredLists


def made_up(
    ranks: Mapping[str, int], top: Mapping[str, Sequence[str]] | None = None, above: Iterable[str] = ()
) -> Contest:
    """A contest of given places, whose fused list no head has scored."""
    none = np.zeros(0)
    lists = ScoredLists(
        list_start=np.zeros(2, np.int32),
        slot=np.zeros(0, np.int32),
        utility=none,
        parts=np.zeros((0, 1)),
        part_names=("factors",),
        control=none,
        fused=False,
    )
    shown = {name: list(items) for name, items in (top or {}).items()}
    return Contest(dict(ranks), shown, list(above), lists)


def tally_of(
    events: Sequence[LogEvent],
    places: Sequence[Mapping[str, int]],
    *,
    every: int = 1,
    keep_seen: bool = True,
) -> Tally:
    """A walk whose n-th event, if it is a test, got the n-th places."""
    tally = Tally({})
    for step in walk(events, every=every, keep_seen=keep_seen):
        if step.ask:
            tally.test(step, made_up(places[step.number]))
        tally.learn(step)
    return tally
