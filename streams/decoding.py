"""Records of ``events`` to events: a run at a time, and what cannot be read apart."""

from typing import NamedTuple

import numpy as np

from schemas.errors import InvalidMessageError
from schemas.events import LoggedEvent, read_event, read_events
from schemas.signals import Int64
from streams.deadletters import DeadLetter
from streams.transport import Record


class Decoded(NamedTuple):
    """A run's events with their offsets and the broker's times, shape (n,), and its poison."""

    events: list[LoggedEvent]
    offsets: Int64
    times: Int64
    letters: list[DeadLetter]


def decoded(records: list[Record]) -> Decoded:
    """Decode a run; a message that cannot be read becomes a dead letter."""
    events = read_events([r.value or b"" for r in records])
    letters: list[DeadLetter] = []
    if events is None:
        events, records, letters = _one_by_one(records)
    offsets = np.fromiter([r.offset for r in records], np.int64, len(records))
    times = np.fromiter([r.timestamp for r in records], np.int64, len(records))
    return Decoded(events, offsets, times, letters)


def _one_by_one(records: list[Record]) -> tuple[list[LoggedEvent], list[Record], list[DeadLetter]]:
    events: list[LoggedEvent] = []
    kept: list[Record] = []
    letters: list[DeadLetter] = []
    for record in records:
        try:
            events.append(read_event(record.value or b""))
            kept.append(record)
        except InvalidMessageError as error:
            letters.append(DeadLetter(record, error))
    return events, kept, letters
