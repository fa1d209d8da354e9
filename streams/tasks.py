"""Background tasks whose failure fells the worker: nothing dies unnoticed."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Collection, Coroutine
from contextlib import suppress
from time import monotonic
from typing import Any

from schemas.errors import UnavailableError

log = logging.getLogger(__name__)

AGAIN_SECONDS = 25.0
"""Longer than what ends well takes to close its clients, and shorter than a process may take to leave."""


class Tasks:
    """Keeps tasks alive and reports the first failure.

    Parameters
    ----------
    on_failure
        Called once, with the first exception.
    """

    def __init__(self, on_failure: Callable[[BaseException], None]) -> None:
        self._on_failure = on_failure
        self._tasks: set[asyncio.Task[None]] = set()
        self._told: set[asyncio.Task[None]] = set()
        self.failure: BaseException | None = None

    def start(self, *works: Coroutine[Any, Any, None]) -> Callable[[], None]:
        """Run in the background; calling the result cancels these."""
        tasks = [asyncio.create_task(work) for work in works]
        for task in tasks:
            self._tasks.add(task)
            task.add_done_callback(self._done)

        def cancel() -> None:
            self._told |= {task for task in tasks if not task.done()}
            for task in tasks:
                task.cancel()

        return cancel

    def fail(self, error: BaseException) -> None:
        """Report a failure from elsewhere."""
        if self.failure is None:
            self.failure = error
            self._on_failure(error)

    async def cancel(self) -> None:
        """End all tasks and wait for their ends."""
        await end(*self._tasks, told=self._told)

    def _done(self, task: "asyncio.Task[None]") -> None:
        self._tasks.discard(task)
        self._told.discard(task)
        if (error := failure_of(task)) is not None:
            self.fail(error)


def failure_of(task: "asyncio.Task[Any]") -> BaseException | None:
    """Why a task that is done came to nothing; None if it ended well, or was told to end.

    A task that nobody cancelled and that ended cancelled waited for something that a library gave up
    without a word: a failure like any other.
    """
    if not task.cancelled():
        return task.exception()
    if task.cancelling():
        return None
    name = getattr(task.get_coro(), "__qualname__", task.get_name())
    return UnavailableError(f"{name}: what it waited for was given up")


async def unless(stop: asyncio.Event, work: Coroutine[Any, Any, object]) -> bool:
    """Whether ``work`` came to its end; if ``stop`` is set before, it is cancelled and has ended."""
    working, stopping = asyncio.ensure_future(work), asyncio.ensure_future(stop.wait())
    try:
        await asyncio.wait([working, stopping], return_when=asyncio.FIRST_COMPLETED)
        if working.done():
            working.result()
            return True
    finally:
        await end(working, stopping)
    return False


async def end(*tasks: "asyncio.Task[Any]", told: Collection["asyncio.Task[Any]"] = ()) -> None:
    """Cancel these and return when all have ended; who goes on nevertheless is told again, and named.

    To be cancelled meanwhile tells all of them again, and is raised when they have ended, not before: a
    time limit around it limits nothing.

    Parameters
    ----------
    told
        Those that were cancelled before, and may be closing their clients: not disturbed at once.
    """
    left = {task for task in tasks if not task.done()}
    for task in left.difference(told):
        task.cancel()
    ourselves = False
    while left:
        try:
            _, left = await asyncio.wait(left, timeout=AGAIN_SECONDS)
        except asyncio.CancelledError:
            ourselves, left = True, {task for task in left if not task.done()}
        else:
            if left:
                log.warning("told to end %.0f s ago, and told again: %s", AGAIN_SECONDS, [*map(repr, left)])
        for task in left:
            task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    if ourselves:
        raise asyncio.CancelledError


async def begun(start: Coroutine[Any, Any, object]) -> None:
    """Await the start of a client; told to end meanwhile, it has a second to come to what can be closed.

    ``AIOKafkaClient.bootstrap`` (0.14.0) holds its first connection where nobody can reach it: cancelled
    there, it leaves the socket open.
    """
    starting = asyncio.create_task(start)
    try:
        await asyncio.shield(starting)
    except asyncio.CancelledError:
        await _settled(starting)
        await end(starting)
        raise


async def _settled(task: "asyncio.Task[Any]", seconds: float = 1.0) -> None:
    """Return when it has ended, or the time is over, however often we are told to end meanwhile."""
    deadline = monotonic() + seconds
    while not task.done() and (left := deadline - monotonic()) > 0:
        with suppress(asyncio.CancelledError):  # who called raises its own
            await asyncio.wait([task], timeout=left)


async def closed(closing: Awaitable[object]) -> None:
    """Await the end of a client; to be cancelled meanwhile counts.

    Raises
    ------
    asyncio.CancelledError
        The task was told to end.  ``AIOKafkaClient.close`` (0.14.0) awaits a task that it has cancelled and
        takes our own cancellation for that one's: a loop around it would go on for ever.
    """
    task = asyncio.current_task()
    before = task.cancelling() if task else 0
    await closing
    if task and task.cancelling() > before:
        raise asyncio.CancelledError
