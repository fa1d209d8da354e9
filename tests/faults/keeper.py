"""Whoever runs the workers: starts one again when it has ended, as an orchestrator does."""

import asyncio
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager

from tests.faults.worker import Worker

PAUSE_SECONDS = 1.0
KILLED, ENDED = -9, 0


class Keeper:
    """Workers that are to run.

    Attributes
    ----------
    falls
        Workers that ended by themselves: status and last line of their logs.
    """

    def __init__(self, workers: Iterable[Worker]) -> None:
        self.kept = list(workers)
        self.falls: list[tuple[int, str]] = []
        self._left_alone: set[Worker] = set()

    async def run(self) -> None:
        """Look after them, for ever."""
        for worker in self.kept:
            worker.start()
        while True:
            await asyncio.sleep(PAUSE_SECONDS)
            for worker in self.kept:
                if not worker.runs and worker not in self._left_alone:
                    self.note_fall(worker)
                    worker.start()

    def note_fall(self, worker: Worker) -> None:
        """Remember how one ended, unless somebody ended it."""
        status = worker.process.returncode
        if status not in {KILLED, ENDED}:
            lines = worker.log.read_text("utf-8", "replace").rstrip().splitlines()
            self.falls.append((status, lines[-1][:300]))

    @asynccontextmanager
    async def leave_alone(self, *workers: Worker) -> AsyncIterator[None]:
        """Somebody else starts and ends these."""
        self._left_alone |= {*workers}
        try:
            yield
        finally:
            self._left_alone -= {*workers}
