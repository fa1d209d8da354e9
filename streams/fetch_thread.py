"""The thread that fetches for an event process: it seeks, fetches and commits for one member of the group.

Written, like ``streams.transport``, against exactly faust-streaming 0.15.3 and aiokafka 0.14.0.
"""

import asyncio
from collections.abc import Iterable, Mapping
from time import monotonic
from typing import Any, cast

from aiokafka.errors import (
    CommitFailedError,
    IllegalStateError,
    KafkaError,
    NoOffsetForPartitionError,
    OffsetOutOfRangeError,
)
from aiokafka.structs import OffsetAndMetadata, TopicPartition
from faust.transport.drivers import aiokafka as driver

from schemas.errors import IncarnationError, StreamwiseError, UnavailableError
from streams.fetches import gather
from streams.kafka import tell_moved

TAKE_SECONDS = 2.0
MARGIN_SECONDS = 10.0


def lost(error: KafkaError) -> StreamwiseError:
    """Why nothing more can be fetched: which position which log does not hold, or what the broker says.

    Examples
    --------
    >>> str(lost(OffsetOutOfRangeError({TopicPartition("clicks", 2): 40})))
    'clicks/2: read up to 40, which the log does not hold: ... start again, which names the remedy'
    >>> str(lost(NoOffsetForPartitionError(TopicPartition("clicks", 2))))
    'clicks/2: the group has no offset there: was the topic recreated? Start again, which names the remedy'
    """
    found = error.args[0] if error.args else None
    if isinstance(error, NoOffsetForPartitionError) and isinstance(found, TopicPartition):
        return _no_offset([found])
    if not isinstance(error, OffsetOutOfRangeError) or not isinstance(found, dict):
        return UnavailableError(f"nothing more can be fetched: {error!r}")
    where = ", ".join(f"{tp.topic}/{tp.partition}: read up to {at}" for tp, at in found.items())
    return IncarnationError(
        f"{where}, which the log does not hold: its tail was lost, it was recreated, or "
        "unread records were deleted: start again, which names the remedy"
    )


def _no_offset(places: Iterable[Any]) -> IncarnationError:
    where = ", ".join(f"{tp.topic}/{tp.partition}" for tp in places)
    return IncarnationError(
        f"{where}: the group has no offset there: was the topic recreated? "
        "Start again, which names the remedy"
    )


def _assignment_of(consumer: Any) -> Any:
    """Its partitions in this generation of the group: another object in each."""
    subscription = consumer._subscription.subscription
    return None if subscription is None else subscription.assignment


class BatchConsumerThread(driver.AIOKafkaConsumerThread):  # type: ignore[misc]
    """The thread that fetches; its commits carry marks."""

    _sought: Any = None
    """The assignment whose partitions stand where the group left them."""

    def _create_worker_consumer(self, transport: Any) -> Any:
        consumer = super()._create_worker_consumer(transport)
        if self.app.fetch_wait_ms:  # Faust fixes this at 1,500 and has no setting for it
            consumer._fetch_max_wait_ms = self.app.fetch_wait_ms
        return consumer

    async def on_start(self) -> None:
        """Fetch again only when everything fetched has been taken.

        aiokafka gives a slow reader 0.1 s and then fetches the other partitions without those that are
        not taken yet; where the others are silent that fetch waits 1.5 s, and nothing of what comes
        meanwhile is seen.
        """
        await super().on_start()
        consumer = self._ensure_consumer()
        tell_moved(consumer._coordinator)
        fetcher = consumer._fetcher
        fetcher._prefetch_backoff = TAKE_SECONDS
        gather(fetcher, self.app.gather_seconds)

    async def seek_to_committed(self) -> Mapping[Any, int]:
        """Faust's hook: where the partitions were put.

        It must end before Faust's patience, after which Faust gives its recovery up in silence.
        """
        seconds = self.app.conf.broker_request_timeout - MARGIN_SECONDS
        try:
            async with asyncio.timeout(seconds):
                return cast("Mapping[Any, int]", await self.call_thread(self._seek, self._ensure_consumer()))
        except TimeoutError as error:
            why = f"the group's offsets were not told within {seconds:.0f} s"
            raise UnavailableError(f"kafka.group: {why}: its coordinator is away or silent") from error

    async def _seek(self, consumer: Any) -> dict[TopicPartition, int]:
        """Every partition to its committed offset: one request, and all at one instant.

        aiokafka's own goes from partition to partition, a request each, and leaves those alone whose
        committed offset is 0: what had been fetched of them and dropped in a rebalance never came again.
        """
        assignment = _assignment_of(consumer)
        partitions = consumer.assignment()
        committed = await consumer._coordinator.fetch_committed_offsets(list(partitions))
        if assignment is not _assignment_of(consumer):
            raise IllegalStateError("the group has rebalanced again")
        found = {tp: at.offset for tp, at in committed.items()}
        if missing := partitions - found.keys():  # every worker gives all of them one before it joins
            raise _no_offset(sorted(missing))
        for tp, offset in found.items():
            consumer._fetcher.seek_to(tp, offset)
        self._sought = assignment
        return found

    async def _fetch_records(self, consumer: Any, *args: Any, **options: Any) -> Any:
        """Faust's hook: what was fetched since the seek; before it nothing counts, as it comes again.

        A log that does not hold our position any more fells the worker, as does every other error: raised, it
        would end Faust's fetcher and nothing else, and the worker would stand in silence, and go on in
        silence when a recreated log has grown past the position.
        """
        try:
            fetched = await super()._fetch_records(consumer, *args, **options)
        except KafkaError as error:
            await self.crash(lost(error))
            return {}
        return fetched if _assignment_of(consumer) is self._sought else {}

    async def _commit(self, offsets: Mapping[Any, int]) -> bool:
        assigned = self.assignment()
        marks = self.consumer.marks
        now = monotonic()
        mine = {tp: offset for tp, offset in offsets.items() if tp in assigned}
        self.tp_last_committed_at.update(dict.fromkeys(mine, now))
        try:
            await self._ensure_consumer().commit(
                {
                    TopicPartition(tp.topic, tp.partition): OffsetAndMetadata(
                        offset, self.app.commit_note(tp.topic, tp.partition, marks.get((tp, offset), ""))
                    )
                    for tp, offset in mine.items()
                }
            )
        except CommitFailedError:  # the group has rebalanced: the next owner redelivers
            return False
        except Exception as error:  # noqa: BLE001  whatever it is, a worker that cannot commit must not go on
            await self.crash(error)
            return False
        for key in [k for k in marks if k[0] in mine and k[1] <= mine[k[0]]]:
            marks.pop(key, None)
        return True
