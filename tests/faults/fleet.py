"""A fleet at the end of a test: everything worked off, drained, and judged."""

import asyncio
import signal
from collections.abc import Iterable, Iterator
from pathlib import Path
from time import monotonic
from typing import Any

from schemas.settings import Settings
from tests.faults.learned import strange_models
from tests.faults.load import Generator, checkpointed, unfinished
from tests.faults.oracle import judge
from tests.faults.report import note
from tests.faults.worker import Worker
from tests.streams.clients.room import eventually
from tests.verdict import VerdictError


def outlived_by_none(settings: Settings, directory: Path, count: int) -> Iterator[list[Worker]]:
    """Workers that can be started; those that still run at the end are killed."""
    workers = [Worker(settings, directory / f"worker{n}") for n in range(count)]
    yield workers
    for worker in workers:
        if worker.runs:
            worker.kill()


async def serves_all(generator: Generator, seconds: float = 150.0) -> None:
    """Return when every request sent until now has an answer: all partitions have an owner again."""
    await eventually(lambda: generator.sent.requests)
    asked, deadline = set(generator.sent.requests), monotonic() + seconds
    while left := asked - generator.answered:
        assert monotonic() < deadline, f"{len(left)} of {len(asked)} unanswered: {sorted(left)[:5]}"
        await asyncio.sleep(0.05)


async def recovered(
    generator: Generator, name: str, since: float, seconds: float = 150.0, *, falls: Iterable[Any] = ()
) -> None:
    """Return when all is served again after a fault that ended at ``since``; how long that took is a fact."""
    await serves_all(generator, seconds)
    said = list(falls)
    note(
        "fault",
        name=name,
        seed=generator.sent.seed,
        events=len(generator.sent.interactions),
        recovery_seconds=round(monotonic() - since, 2),
        fell=len(said),
        said=said,
    )


async def worked_off(generator: Generator, workers: Iterable[Worker] = ()) -> None:
    """Return when everything that was sent has its rows, its list, and its place in the state.

    Raises
    ------
    VerdictError
        It has not after 400 s, or what has is in nobody's state 150 s later.
    AssertionError
        None of these workers runs any more: each may end by itself, and here nobody starts it again.
    """
    deadline, those = monotonic() + 400, list(workers)
    while left := await unfinished(generator):
        assert not those or any(w.runs for w in those), "\n".join([left, *(w.said() for w in those)])
        if monotonic() > deadline:
            raise VerdictError(left)
        await asyncio.sleep(0.05)
    deadline = monotonic() + 150
    while not await checkpointed(generator):  # told to end in a rebalance, nobody writes it
        if monotonic() > deadline:
            raise VerdictError("what was worked off is not in the state")
        await asyncio.sleep(0.05)


async def settle(generator: Generator, workers: list[Worker]) -> tuple[dict[str, Any], dict[str, int]]:
    """Wait until everything is worked off, drain who still runs, and judge: what is wrong, and counts."""
    try:
        await worked_off(generator, workers)
    finally:
        running = [w for w in workers if w.runs]
        ends = await asyncio.gather(*(asyncio.to_thread(w.stop) for w in running))
    drained = who_drained(running, ends)
    assert generator.sent.refused == []
    found, counts = await judge(generator.settings, generator.sent)
    print(counts)
    strange = await strange_models(generator.settings, drained)
    return found.wrong() | ({"models": strange} if strange else {}), counts


def who_drained(workers: list[Worker], ends: list[int]) -> list[Worker]:
    """Those that were ready; one that had just been started again may still have loaded its modules."""
    ended = dict(zip(workers, ends, strict=True))
    heard = [w for w in workers if w.was_ready or ended[w] != -signal.SIGTERM]
    assert all(ended[w] == 0 for w in heard), "\n".join(w.said() for w in workers)
    return [w for w in heard if w.was_ready]
