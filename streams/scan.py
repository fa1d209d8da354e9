"""What the tail of an ``events`` partition says about lists, read once at a takeover.

Between the last checkpoint and the end of the log a former owner may have decided on lists without
publishing them, or read triggers without deciding.  The scan finds both: decisions are published again
as they stand, triggers without one are decided after the replay.  Of two decisions for one trigger the
first in the log counts.
"""

from collections.abc import Callable
from typing import NamedTuple

from aiokafka import TopicPartition

from schemas.errors import IncarnationError, InvalidMessageError
from schemas.events import Decision, Event, LoggedDecision, decode_event, read_event
from schemas.recommendations import Recommendation
from schemas.settings import Settings
from schemas.topics import Topic
from streams.incarnations import check_log
from streams.kafka import read_range, reader
from streams.state_store import Checkpoint
from streams.transport import Record
from streams.triggers import Trigger

MakeTrigger = Callable[[Event, int, int], Trigger | None]
"""(event, offset, broker's time) → the list that it asks for."""

LISTS_ONLY = (b'"type":"request"', b'"type":"decision"')
"""Canonical JSON is written by us: records that hold neither need no decoding when pushes are off."""


class Scan(NamedTuple):
    """What was found.

    Attributes
    ----------
    end
        One past the last offset scanned: triggers before it are accounted for.
    undecided
        Triggers without a decision, in log order; of one person's pushes only the last.  Those above the
        checkpoint may be repeats, which only the replay can tell.
    decided
        Logged decisions, in log order, first for each trigger.
    superseded
        Pushes without a decision for which a later one of the same person stands.
    """

    end: int
    undecided: list[Trigger]
    decided: list[Recommendation]
    superseded: int = 0


class Open:
    """Triggers seen and not yet decided, while reading a log."""

    def __init__(self) -> None:
        self._triggers: dict[tuple[str, str], Trigger] = {}
        self._decided: dict[str, Recommendation] = {}
        self._superseded: set[str] = set()

    def saw_trigger(self, trigger: Trigger) -> None:
        """A trigger; a push replaces the person's former one, a repeat replaces nothing."""
        key = trigger.user_id, trigger.trigger_id if trigger.request else ""
        former = self._triggers.get(key)
        repeat = former is not None and former.trigger_id == trigger.trigger_id
        if repeat or trigger.trigger_id in self._decided or trigger.trigger_id in self._superseded:
            return
        self._triggers[key] = trigger
        if former is not None:
            self._superseded.add(former.trigger_id)

    def saw_decision(self, found: Recommendation) -> None:
        """A decision; the first for its trigger counts."""
        self._decided.setdefault(found.trigger_id, found)
        self.close(found.user_id, found.trigger_id)

    def close(self, user_id: str, trigger_id: str) -> None:
        """There is a decision for it, which may not be one that can be published."""
        for key in ((user_id, trigger_id), (user_id, "")):
            waiting = self._triggers.get(key)
            if waiting is not None and waiting.trigger_id == trigger_id:
                del self._triggers[key]

    def result(self, end: int) -> Scan:
        """What is left at the end."""
        undecided = sorted(self._triggers.values(), key=lambda t: t.offset)
        superseded = self._superseded - self._decided.keys()
        return Scan(end, undecided, list(self._decided.values()), len(superseded))


async def scan(
    settings: Settings, partition: int, checkpoint: Checkpoint | None, make_trigger: MakeTrigger
) -> Scan:
    """Read ``events`` from the oldest open trigger of the checkpoint to the end.

    Raises
    ------
    IncarnationError
        The log is not the one that the checkpoint was made from.
    """
    tp = TopicPartition(settings.kafka.topic(Topic.EVENTS), partition)
    waiting = frozenset(checkpoint.open if checkpoint is not None else ())
    applied = checkpoint.applied if checkpoint is not None else -1
    found = Open()

    def still_open(event: Event, offset: int, arrived: int) -> Trigger | None:
        return make_trigger(event, offset, arrived) if offset > applied or offset in waiting else None

    async with reader(settings.kafka) as consumer:
        start = (await consumer.beginning_offsets([tp]))[tp]
        end = (await consumer.end_offsets([tp]))[tp]
        if checkpoint is not None:
            await check_log(consumer, tp, checkpoint.applied + 1, checkpoint.mark, start, end, own=True)
        elif start > 0:
            raise IncarnationError(
                f"{tp.topic}/{partition}: begins at {start} and there is no state: what came before is lost; "
                "restore the state topic from a backup"
            )
        first = max(start, checkpoint.decide_from if checkpoint is not None else start)
        async for record in read_range(consumer, tp.topic, partition, first, end):
            end = max(end, record.offset + 1)
            _look(record, found, still_open, pushes=settings.lists.publish == "always")
    return found.result(end)


def _look(record: Record, found: Open, make_trigger: MakeTrigger, *, pushes: bool) -> None:
    value = record.value or b""
    if not pushes and not any(mark in value for mark in LISTS_ONLY):
        return
    try:
        event = decode_event(value)
    except InvalidMessageError:
        _look_at_damaged(value, found)
        return
    if isinstance(event, Decision):
        found.saw_decision(event.recommendation)
    elif (trigger := make_trigger(event, record.offset, record.timestamp)) is not None:
        found.saw_trigger(trigger)


def _look_at_damaged(value: bytes, found: Open) -> None:
    """A list that is no list for readers may be a decision for user state: it is not decided twice."""
    try:
        event = read_event(value)
    except InvalidMessageError:  # the user agent sends it to the dead letters
        return
    if isinstance(event, LoggedDecision):
        found.close(event.recommendation.user_id, event.recommendation.trigger_id)
