"""Background tasks whose failure fells the worker: nothing dies unnoticed."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

from schemas.errors import UnavailableError


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
        self.failure: BaseException | None = None

    def start(self, *works: Coroutine[Any, Any, None]) -> Callable[[], None]:
        """Run in the background; calling the result cancels these."""
        tasks = [asyncio.create_task(work) for work in works]
        for task in tasks:
            self._tasks.add(task)
            task.add_done_callback(self._done)

        def cancel() -> None:
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
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _done(self, task: "asyncio.Task[None]") -> None:
        self._tasks.discard(task)
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
        for task in (working, stopping):
            task.cancel()
        await asyncio.gather(working, stopping, return_exceptions=True)
    return False
