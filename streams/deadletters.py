"""Messages that cannot be read: kept untouched, with headers that say where they came from and why.

The header contract is ``schemas.deadletters``; the message's own headers are kept behind it.  A dead
letter that cannot be written stops the worker: nothing is dropped.
"""

import asyncio
from collections.abc import Sequence
from typing import Literal, NamedTuple

from schemas.deadletters import DeadLetter as Contract
from schemas.errors import InvalidMessageError
from streams.transport import Record
from streams.writer import LogWriter, Outgoing

Stage = Literal["intake", "users", "encode"]


class DeadLetter(NamedTuple):
    """A record and what is wrong with it."""

    record: Record
    error: InvalidMessageError


def dead_letter(letter: DeadLetter, stage: Stage) -> Outgoing:
    """The record as it is written to ``dead-letters``: key and value untouched."""
    record = letter.record
    why = Contract.of(
        letter.error, topic=record.topic, partition=record.partition, offset=record.offset, stage=stage
    )
    return Outgoing(record.key, record.value, [*why.headers(), *record.headers])


class DeadLetters:
    """Writer of the ``dead-letters`` topic."""

    def __init__(self, writer: LogWriter) -> None:
        self._writer = writer

    def put(self, letters: Sequence[DeadLetter], stage: Stage) -> "asyncio.Future[None]":
        """Append; the future is done when all are acknowledged."""
        return self._writer.put(0, [dead_letter(letter, stage) for letter in letters])

    async def room(self) -> None:
        """Wait for room: a flood of poison holds intake back instead of filling memory."""
        await self._writer.room()
