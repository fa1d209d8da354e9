"""Being told to end arrives, though the Kafka client may swallow it (aiokafka 0.14.0)."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Any

import pytest
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.client import AIOKafkaClient

from schemas.settings import Settings
from streams import incarnations, tasks
from streams.tasks import Tasks, begun, closed, end


async def swallows() -> None:
    """As ``AIOKafkaClient.close``: the end of a task that it cancelled, or ours."""
    inner = asyncio.create_task(asyncio.sleep(60))
    await asyncio.sleep(0)
    inner.cancel()
    with suppress(asyncio.CancelledError):
        await inner


async def for_ever(*, wrapped: bool) -> None:
    while True:
        await (closed(swallows()) if wrapped else swallows())


async def test_who_goes_on_is_told_again(monkeypatch: pytest.MonkeyPatch, caplog: Any) -> None:
    """Cancelled in the one turn where a library takes it for itself, a loop goes on: asked again, it ends."""
    monkeypatch.setattr(tasks, "AGAIN_SECONDS", 0.01)
    for turns in range(1, 7):
        loop = asyncio.create_task(for_ever(wrapped=False))
        for _ in range(turns):
            await asyncio.sleep(0)
        done, _ = await asyncio.wait([asyncio.create_task(end(loop))], timeout=20)
        assert done
    assert "told to end 0 s ago, and told again" in caplog.text


async def test_who_ends_others_and_is_told_to_end_ends_them_first() -> None:
    """Told again as often as its parent is; and one who was told before is not disturbed at once."""
    heard = 0

    async def ends_slowly() -> None:
        nonlocal heard
        for _ in range(2):
            try:
                await asyncio.sleep(60)
            except asyncio.CancelledError:
                heard += 1

    child = asyncio.create_task(ends_slowly())
    parent = asyncio.create_task(end(child))
    await asyncio.sleep(0.01)
    parent.cancel()
    await asyncio.wait([parent], timeout=20)
    assert parent.cancelled()
    assert child.done()
    assert heard == 2


async def test_who_was_told_to_end_closes_in_peace() -> None:
    """A second word would interrupt what the first one began."""
    closed_well = asyncio.Event()

    async def closes() -> None:
        try:
            await asyncio.sleep(60)
        finally:
            await asyncio.sleep(0.05)
            closed_well.set()

    background = Tasks(lambda error: None)
    cancel = background.start(closes())
    await asyncio.sleep(0)
    cancel()
    await asyncio.sleep(0)
    await background.cancel()
    assert closed_well.is_set()


@pytest.mark.parametrize("turns", range(1, 7))
async def test_the_end_of_a_client_does_not_swallow_ours(turns: int) -> None:
    """Whenever it comes, one cancellation is enough."""
    loop = asyncio.create_task(for_ever(wrapped=True))
    for _ in range(turns):
        await asyncio.sleep(0)
    loop.cancel()
    done, _ = await asyncio.wait([loop], timeout=20)
    assert done


async def test_a_start_that_is_cancelled_comes_to_what_can_be_closed() -> None:
    """What a start holds for itself is held by the client when the cancellation arrives."""
    held: list[str] = []

    async def start() -> None:
        await asyncio.sleep(0.05)
        held.append("connection")

    task = asyncio.create_task(begun(start()))
    for _ in range(3):  # however often it is told
        await asyncio.sleep(0.01)
        task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    assert task.cancelled()
    assert held == ["connection"]


@pytest.fixture
def without_a_broker(monkeypatch: pytest.MonkeyPatch) -> None:
    """The look at the logs with the client's own start and end, and answers that are there at once."""

    async def start(self: Any) -> None:  # only the synchronizer, as after a bootstrap
        for _ in range(5):
            await asyncio.sleep(0)
        client: AIOKafkaClient = self._client
        client._sync_task = asyncio.create_task(client._md_synchronizer())
        await asyncio.sleep(0)

    async def offsets(self: Any, group: str, partitions: Any = None) -> dict[Any, Any]:
        for _ in range(5):
            await asyncio.sleep(0)
        return {}

    @asynccontextmanager
    async def reader(*args: Any, **options: Any) -> AsyncIterator[object]:
        await asyncio.sleep(0)
        yield object()

    async def nothing(*args: Any, **options: Any) -> list[Any]:
        await asyncio.sleep(0)
        return []

    monkeypatch.setattr(AIOKafkaAdminClient, "start", start)
    monkeypatch.setattr(AIOKafkaAdminClient, "list_consumer_group_offsets", offsets)
    monkeypatch.setattr(incarnations, "reader", reader)
    for name in ("_refuse_missing", "_all_partitions", "_check_remembered"):
        monkeypatch.setattr(incarnations, name, nothing)


@pytest.mark.usefixtures("without_a_broker")
async def test_a_look_at_the_logs_ends_wherever_it_is(caplog: Any) -> None:
    """Told to end in any of its first forty turns; before, in two of them it went on for ever."""
    for turns in range(40):
        background = Tasks(lambda error: None)
        background.start(incarnations.check_group(Settings(), ["clicks"], []))
        for _ in range(turns):
            await asyncio.sleep(0)
        done, _ = await asyncio.wait([asyncio.create_task(background.cancel())], timeout=20)
        assert done
        assert background.failure is None
    assert "told again" not in caplog.text
