"""Long work in slices: whole, in order, and with room for others between two slices."""

import asyncio
import threading
from collections.abc import Iterator

import pytest

from streams.pace import SLICE_SECONDS, Pace


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


async def test_slices_end_with_the_item_that_passes_the_limit() -> None:
    """Other heavy work gets its turn between two slices, and none is longer than the limit and one item."""
    clock = Clock()
    pace = Pace(clock)
    made: list[int] = []
    between: list[int] = []

    def work() -> Iterator[int]:
        for n in range(10):
            clock.now += 0.4 * SLICE_SECONDS
            made.append(n)
            yield n

    async def others() -> None:
        while len(made) < 10:
            async with pace.heavy():
                between.append(len(made))

    done, _ = await asyncio.gather(pace.sliced(work()), others())
    assert done == list(range(10))
    assert between == [3, 6, 9, 10]


async def test_slices_may_follow_each_other() -> None:
    """Two slices at once before other heavy work has its turn; the loop turns between any two."""
    clock = Clock()
    pace = Pace(clock)
    made: list[int] = []
    between: list[int] = []
    turned: list[int] = []

    def work() -> Iterator[int]:
        for n in range(8):
            clock.now += SLICE_SECONDS
            made.append(n)
            yield n

    async def others() -> None:
        while len(made) < 8:
            async with pace.heavy():
                between.append(len(made))

    async def light() -> None:
        while len(made) < 8:
            turned.append(len(made))
            await asyncio.sleep(0)

    await asyncio.gather(pace.sliced(work(), at_once=2), others(), light())
    assert between == [2, 4, 6, 8]
    assert set(turned) == set(range(8))


async def test_no_work_is_done_at_once() -> None:
    """An empty sweep costs one turn."""
    assert await Pace().sliced(iter(())) == []


async def test_the_loop_turns_while_something_is_done_aside() -> None:
    """It is done on a thread, one after the other, and its errors come back."""
    pace, started, go = Pace(), threading.Event(), threading.Event()
    order: list[str] = []

    def long() -> str:
        started.set()
        go.wait()
        order.append("long")
        return "done"

    def wrong() -> None:
        order.append("wrong")
        raise ValueError("wrong")

    first = asyncio.create_task(pace.aside(long))
    second = asyncio.create_task(pace.aside(wrong))
    await asyncio.to_thread(started.wait)
    async with pace.heavy():
        assert order == []
    go.set()
    assert await first == "done"
    with pytest.raises(ValueError, match="wrong"):
        await second
    assert order == ["long", "wrong"]
    pace.close()


async def test_what_was_cancelled_before_it_began_is_not_done() -> None:
    """What has begun is done to its end, and delays nobody who does not wait for it."""
    pace, started, go = Pace(), threading.Event(), threading.Event()
    done: list[str] = []

    def long() -> None:
        started.set()
        go.wait()
        done.append("long")

    tasks = [asyncio.create_task(pace.aside(work)) for work in (long, lambda: done.append("never"))]
    await asyncio.to_thread(started.wait)
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    go.set()
    await pace.aside(lambda: done.append("last"))
    assert done == ["long", "last"]
    pace.close()
