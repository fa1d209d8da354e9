"""The user agent: hands each run of ``events`` to its partition, and lets partitions go when told to.

It never waits for Kafka: an agent serves all partitions of its worker, and waiting for one would stall
all.
"""

import asyncio
from collections.abc import Callable, Iterable

from models.requests import ListRequest
from schemas.errors import UnavailableError
from streams.partition import Delivered, Partition, Tools, is_echo
from streams.tasks import Tasks
from streams.transport import RecordBatch, size_of
from streams.triggers import Trigger


class Users:
    """The partitions of ``events`` that this worker owns.

    Parameters
    ----------
    tools
        A function, because partitions and lists know each other.
    """

    def __init__(self, tools: Callable[[], Tools], tasks: Tasks) -> None:
        self._tools = tools
        self._tasks = tasks
        self._partitions: dict[int, Partition] = {}
        self._generation = -1
        self._cancel: dict[int, Callable[[], None]] = {}
        self._closing: set[asyncio.Task[None]] = set()

    @property
    def partitions(self) -> list[Partition]:
        """Those owned now."""
        return list(self._partitions.values())

    @property
    def ready(self) -> bool:
        """Whether every partition owned has been taken over."""
        return all(p.ready.is_set() for p in self._partitions.values())

    def assign(self, numbers: Iterable[int], generation: int) -> None:
        """Own these partitions from now on, in a new generation of the group."""
        self.release()
        self._generation = generation
        tools = self._tools()
        for number in numbers:
            partition = Partition(number, tools)
            self._partitions[number] = partition
            works = partition.run(), partition.rows(), partition.checkpoints(), partition.ticks()
            beats = partition.heartbeats()
            self._cancel[number] = self._tasks.start(*works, beats)

    def release(self) -> None:
        """Own nothing: a rebalance has begun."""
        gone, self._partitions, self._generation = self._partitions, {}, -1
        for number, partition in gone.items():
            partition.release()
            self._cancel.pop(number)()
            task = asyncio.create_task(partition.close())
            self._closing.add(task)
            task.add_done_callback(self._closing.discard)
        self._tools().queue.drop(gone)

    async def close(self) -> None:
        """Own nothing, and wait until everything is let go."""
        self.release()
        await asyncio.gather(*self._closing, return_exceptions=True)

    async def take(self, batch: RecordBatch, generation: int, acknowledge: Callable[[], None]) -> None:
        """Hand a run to its partition; runs of another generation come again."""
        if generation != self._generation:
            return
        partition = self._partitions.get(batch.partition)
        if partition is None:  # acknowledged by nobody, it would hold its partition back for ever
            raise UnavailableError(f"{batch.topic}/{batch.partition}: delivered, but not assigned")
        await partition.take(
            Delivered(batch, acknowledge, self._tools().clock(), size_of(batch), is_echo(batch))
        )

    def request(self, trigger: Trigger) -> ListRequest | None:
        """What the engine needs for a list; None when the partition is not ours any more."""
        partition = self._partitions.get(trigger.partition)
        if partition is None or partition.shard is None:
            return None
        asked = trigger.request
        return ListRequest(
            shard=partition.shard,
            user_id=trigger.user_id,
            k=asked.k if asked is not None else self._tools().settings.lists.k,
            trigger_id=trigger.trigger_id,
            surface=trigger.surface,
            candidates=asked.candidates if asked is not None else None,
            filters=asked.filters if asked is not None else None,
            event_ts=trigger.event_ts,
            query=asked.query if asked is not None else None,
        )

    def holds(self, trigger: Trigger, request: ListRequest) -> bool:
        """Whether a request's user state is still that of its partition."""
        partition = self._partitions.get(trigger.partition)
        return partition is not None and partition.shard is request.shard

    def published(self, partition: int, trigger_id: str) -> None:
        """A list is acknowledged."""
        if (owned := self._partitions.get(partition)) is not None:
            owned.published(trigger_id)

    def closed(self, trigger: Trigger) -> None:
        """A trigger will get no list."""
        self.published(trigger.partition, trigger.trigger_id)

    async def checkpoint(self) -> None:
        """Checkpoint every partition now."""
        await asyncio.gather(*(p.checkpoint() for p in self._partitions.values()))
