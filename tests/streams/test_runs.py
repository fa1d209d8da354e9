"""The queue of one partition: full by count or by bytes, it makes who brings more wait."""

import asyncio
from dataclasses import dataclass

import pytest

from streams.runs import Runs


@dataclass(frozen=True)
class Run:
    number: int
    size: int


async def bring(runs: Runs, sizes: list[int], held: list[int]) -> None:
    for number, size in enumerate(sizes):
        await runs.put(Run(number, size))
        held.append(runs.size)


@pytest.mark.parametrize(("bounds", "size"), [((4, 1000), 10), ((100, 40), 10)], ids=["count", "bytes"])
async def test_it_holds_no_more_than_its_bound_and_loses_nothing(bounds: tuple[int, int], size: int) -> None:
    """A hundred times as much as fits: order is kept, and at no time is more held than fits."""
    runs: Runs[Run] = Runs(*bounds)
    held: list[int] = []
    bringing = asyncio.create_task(bring(runs, [size] * 400, held))
    taken = []
    for _ in range(400):
        await asyncio.sleep(0)
        taken.append((await runs.get()).number)
    await bringing
    assert taken == list(range(400))
    assert max(held) == 40
    assert (len(runs), runs.size) == (0, 0)


async def test_what_is_larger_than_the_bound_passes_alone() -> None:
    """One run of Faust's may hold more than all of the bound; it must not stand for ever."""
    runs: Runs[Run] = Runs(4, 100)
    await runs.put(Run(0, 5000))
    second = asyncio.create_task(runs.put(Run(1, 1)))
    await asyncio.sleep(0.01)
    assert not second.done()
    assert runs.get_nowait().number == 0
    await second
    assert (await runs.get()).number == 1


async def test_who_is_cancelled_while_waiting_brings_nothing() -> None:
    """And does not stand in the way of the next."""
    runs: Runs[Run] = Runs(1, 100)
    await runs.put(Run(0, 1))
    waiting = asyncio.create_task(runs.put(Run(1, 1)))
    await asyncio.sleep(0.01)
    waiting.cancel()
    runs.get_nowait()
    await runs.put(Run(2, 1))
    assert runs.get_nowait().number == 2
    with pytest.raises(IndexError):
        runs.get_nowait()
