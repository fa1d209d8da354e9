"""Writes canonical events straight to ``events`` and waits for the lists that answer them."""

import asyncio
import logging
from collections.abc import Sequence
from typing import Any

import msgspec
from aiokafka.errors import KafkaError

from deploy.api.bodies import Postable
from deploy.api.errors import DeadlineError
from deploy.api.ladder import LowerRungs
from deploy.api.live import LiveView
from schemas.errors import IncarnationError, UnavailableError
from schemas.events import Request, encode_event
from schemas.ids import partition_of
from schemas.ladder import Cause
from schemas.recommendations import Recommendation
from schemas.settings import KafkaSettings
from schemas.topics import Topic
from streams.kafka import idempotent_producer
from streams.layout import refuse_former
from streams.tasks import begun, closed

log = logging.getLogger(__name__)

ACK_SECONDS = 5.0
PROBE_SECONDS = 2.0
SILENT = "the broker does not answer"
STOP_SECONDS = 3.0
WAYS_MS = 100.0
MAX_WAITING_BYTES = 32 << 20
WAITING_BYTES = 8_000
"""What a request that waits takes beside its message: its connection, tasks and futures."""


class Gateway:
    """An idempotent producer to ``events``, partitioned by us like everything in that log.

    Parameters
    ----------
    rungs
        Answer where the stream does not.

    Attributes
    ----------
    waiting
        Bytes of the requests that wait for their lists.
    """

    def __init__(self, view: LiveView, settings: KafkaSettings, rungs: LowerRungs) -> None:
        self._view = view
        self._topic = settings.topic(Topic.EVENTS)
        self._rungs = rungs
        self.waiting = 0
        self._partitions = settings.partitions
        self._settings = settings
        self._producer: Any | None = None
        self._trouble: str | None = "the producer has not connected yet"

    def ready(self) -> str | None:
        """None when events can be written, else why not."""
        return self._trouble

    async def run(self) -> None:
        """Connect, trying again until the broker answers; then hold the producer until cancelled."""
        while True:
            producer = idempotent_producer(self._settings)
            try:
                await refuse_former(self._settings)
                await begun(producer.start())
                self._producer, self._trouble = producer, None
                while True:
                    await asyncio.sleep(PROBE_SECONDS)
                    self._trouble = None if await self._answers(producer) else SILENT
            except (KafkaError, OSError) as error:
                self._trouble = f"broker: {error!r}"
            except (IncarnationError, UnavailableError) as error:
                self._trouble = str(error)
            finally:
                self._producer = None
                await _stop(producer)
            await asyncio.sleep(1.0)

    async def _answers(self, producer: Any) -> bool:
        """Whether a broker answers: the client itself hides a lost one and tries again for ever.

        Raises
        ------
        IncarnationError
            What is written to has been replaced meanwhile: nobody would read what is acknowledged.
        """
        try:
            async with asyncio.timeout(ACK_SECONDS):
                answers = bool(await producer.client.force_metadata_update())
                if answers:
                    await refuse_former(self._settings)
                return answers
        except (TimeoutError, UnavailableError):  # that is an answer too
            return False

    async def write(self, events: Sequence[Postable]) -> None:
        """Append events, each to its person's partition; returns when the broker has all of them.

        Raises
        ------
        UnavailableError
            The broker did not acknowledge in time; sending the same events again is harmless.
        """
        if self._producer is None or self._trouble:
            raise UnavailableError(f"no connection to the broker ({self._trouble})")
        try:
            async with asyncio.timeout(ACK_SECONDS):
                acks = [await self._send(self._producer, event) for event in events]
                await asyncio.gather(*acks)
        except (KafkaError, TimeoutError) as error:
            raise UnavailableError(f"the broker did not take the events: {error!r}") from error

    async def ask(self, request: Request, deadline_ms: float) -> Recommendation:
        """The list that answers ``request``.

        When it does not come in time, the best of the lower rungs (``deploy.api.ladder``), marked so; but a
        request that says what may be listed is answered by nothing else than its own list.

        Raises
        ------
        DeadlineError
            No answer to a request that says what may be listed.
        UnavailableError
            No answer, and nothing that could stand for it.
        """
        known = self._view.lists.answer(request.user_id, request.surface, request.request_id)
        if known is not None:
            return known
        size = WAITING_BYTES + len(encode_event(request))
        if self.waiting + size > MAX_WAITING_BYTES:
            return await self._rungs.answer(request, Cause.OVERLOAD, "too many requests wait for their lists")
        self.waiting += size
        try:
            return await self._ask(request, deadline_ms)
        finally:
            self.waiting -= size

    async def _ask(self, request: Request, deadline_ms: float) -> Recommendation:
        answer = self._view.expect(request.request_id)
        try:
            async with asyncio.timeout(deadline_ms / 1000):
                await self.write([_hurried(request, deadline_ms)])
                return await asyncio.shield(answer)
        except UnavailableError as error:
            return await self._rungs.answer(request, Cause.STREAM, str(error))
        except TimeoutError:
            if request.candidates is not None or request.filters or request.query:
                remedy = "ask again with the same request_id, allow more time, or see /readyz"
                raise DeadlineError("deadline_ms", deadline_ms, remedy) from None
            why = f"no answer within {deadline_ms:g} ms"
            return await self._rungs.answer(request, Cause.DEADLINE, why)

    async def _send(self, producer: Any, event: Postable) -> "asyncio.Future[Any]":
        partition = partition_of(event.user_id, self._partitions)
        key = event.user_id.encode()
        sent: asyncio.Future[Any] = await producer.send(
            self._topic, encode_event(event), key=key, partition=partition
        )
        return sent


def _hurried(request: Request, deadline_ms: float) -> Request:
    """With what is left for the stream when the ways there and back are taken off."""
    left = max(1.0, deadline_ms - min(WAYS_MS, deadline_ms / 4))
    return msgspec.structs.replace(request, deadline_ms=left)


async def _stop(producer: Any) -> None:
    """Flush and close in bounded time; who sent what is given up here was told 503."""
    try:
        async with asyncio.timeout(STOP_SECONDS):
            await closed(producer.stop())
    except TimeoutError:
        log.warning("the broker is away: unacknowledged events are given up")
