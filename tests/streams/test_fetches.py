"""Fetches gather while records keep coming, and at no other time."""

import asyncio
from types import SimpleNamespace

import pytest

from streams.fetches import PLENTY, Gathering, gather, gathering_seconds


class Fetcher:
    """Answers as told, and keeps what each fetch asked for: milliseconds and bytes."""

    def __init__(self):
        self.asked, self.answers, self.now = [], iter(()), 0.0

    async def _proc_fetch_request(self, _assignment, _node, request):
        self.asked.append((request._max_wait_ms, request._min_bytes))
        after, some = next(self.answers)
        self.now += after
        return some

    async def fetch(self, node: int) -> None:
        await self._proc_fetch_request(None, node, SimpleNamespace(_max_wait_ms=1500, _min_bytes=1))


AT_ONCE, GATHERED = (1500, 1), (20, PLENTY)


@pytest.mark.parametrize(
    ("answers", "asked"),
    [
        pytest.param([(9, True), (9, True), (9, True)], [AT_ONCE] * 3, id="heartbeats, far between"),
        pytest.param(
            [(9, True), (0.01, True), (0.02, True), (0.02, False), (1.5, False), (9, True)],
            [AT_ONCE, AT_ONCE, GATHERED, GATHERED, AT_ONCE, AT_ONCE],
            id="a burst, and a pause",
        ),
        pytest.param([(1, True), (0.07, True), (0.07, True)], [AT_ONCE] * 3, id="slower than they gather"),
    ],
)
async def test_when_fetches_gather(answers, asked):
    """From the second of two answers with records that follow each other closely, to the first without."""
    fetcher = Fetcher()
    fetcher.answers = iter(answers)
    gather(fetcher, lambda: 0.02, lambda: fetcher.now)
    for _ in answers:
        await fetcher.fetch(1)
    assert fetcher.asked == asked


async def test_who_is_busy_gathers_for_longer():
    """Each fetch asks how long it may wait now."""
    fetcher, waiting = Fetcher(), [0.0]
    fetcher.answers = iter([(1, True)] + [(0.01, True)] * 5)
    gather(fetcher, lambda: gathering_seconds(0.01, waiting[0]), lambda: fetcher.now)
    for waits in (0.0, 0.0, 0.0, 0.1, 5.0, 0.0):
        waiting[0] = waits
        await fetcher.fetch(1)
    assert fetcher.asked == [AT_ONCE] * 2 + [(wait, PLENTY) for wait in (10, 40, 60, 10)]


def test_each_node_for_itself():
    """A leader of busy partitions says nothing about another's."""
    gathering = Gathering(lambda: 0.02)
    for now in (1.0, 1.01):
        gathering.answered(1, now, some=True)
    gathering.answered(2, 1.02, some=True)
    assert (gathering.wanted(1), gathering.wanted(2)) == (True, False)


@pytest.mark.parametrize("seconds", [0.0, 0.02])
async def test_a_fetch_that_is_cancelled_brings_nothing(seconds):
    """The client's ``close`` cancels fetches and awaits each: an exception would end it in the middle."""

    class Resting:
        async def _proc_fetch_request(self, *_):
            await asyncio.sleep(60)  # as the client's does after a failure

    fetcher = Resting()
    gather(fetcher, lambda: seconds)
    task = asyncio.create_task(fetcher._proc_fetch_request(None, 1, SimpleNamespace()))
    await asyncio.sleep(0)
    task.cancel()
    assert await task is False
