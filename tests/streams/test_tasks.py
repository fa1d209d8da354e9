"""Tasks: a failure is reported once; an end that nobody asked for is a failure."""

import asyncio

import pytest

from schemas.errors import UnavailableError
from streams.tasks import Tasks


async def given_up() -> None:
    """Waits for a future that somebody else cancels."""
    future = asyncio.get_running_loop().create_future()
    asyncio.get_running_loop().call_soon(future.cancel)
    await future


async def wrong() -> None:
    """Fails."""
    raise ValueError("wrong")


@pytest.mark.parametrize(("work", "kind"), [(given_up, UnavailableError), (wrong, ValueError)])
async def test_what_ends_before_its_time_is_a_failure(work, kind):
    """The first one is reported, and only that."""
    failures: list[BaseException] = []
    tasks = Tasks(failures.append)
    tasks.start(work())
    tasks.start(asyncio.sleep(0, None))
    await asyncio.sleep(0.01)
    tasks.start(wrong())
    await asyncio.sleep(0.01)
    assert [type(f) for f in failures] == [kind]


async def test_what_is_told_to_end_is_none():
    """Cancelled one by one or all together: nobody hears of it."""
    failures: list[BaseException] = []
    tasks = Tasks(failures.append)
    cancel = tasks.start(asyncio.Event().wait(), asyncio.Event().wait())
    tasks.start(asyncio.Event().wait())
    await asyncio.sleep(0)
    cancel()
    await asyncio.sleep(0.01)
    await tasks.cancel()
    assert failures == []
