"""Does the event loop turn?  Its lag is measured all the time, and a process whose loop stands is ended.

A task of the loop notes each turn; a thread of its own looks at the notes, so that a loop that does not
turn is seen while it does not turn.  What no thread of Python can see (code that never lets the
interpreter lock go) is left to ``faulthandler``, whose timer needs no lock.
"""

import asyncio
import faulthandler
import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from time import monotonic
from typing import Protocol

from deploy.health import Health
from schemas.settings import HealthSettings

STATUS = 70
"""Exit status of a process that the watchdog ended (``EX_SOFTWARE``); whoever runs it starts it again."""

TURN_SECONDS = 0.1
LOOK_SECONDS = 0.25
REMEMBER_SECONDS = 10.0
GRACE_SECONDS = 10.0
"""How much longer ``faulthandler`` waits than the thread, which can say what happened."""

LAST_WORD_SECONDS = 30
"""For saying why a process leaves."""

STDERR = 2


class LoopObserver(Protocol):
    """Told of every turn; must not raise and must not block."""

    def on_loop_lag(self, seconds: float) -> None:
        """The loop turned ``seconds`` later than asked."""


class LoopWatch:
    """Lag of one event loop.

    Parameters
    ----------
    settings
        ``max_loop_lag_seconds`` makes the process not ready; ``hung_seconds`` ends it (0: never).
    end
        Called on the watching thread with the seconds that the loop has been standing.
    """

    def __init__(
        self, settings: HealthSettings, observer: LoopObserver, end: Callable[[float], object]
    ) -> None:
        self._limit = settings.max_loop_lag_seconds
        self._hung = settings.hung_seconds
        self._observer = observer
        self._end = end
        self._due = monotonic()
        self._worst, self._worst_at = 0.0, float("-inf")
        self._stop = threading.Event()

    def late(self) -> str | None:
        """A readiness check, for any thread: None, or by how much the loop is late."""
        now = monotonic()
        if (standing := now - self._due) > self._limit:
            return f"the event loop has not turned for {standing:.1f} s"
        if self._worst > self._limit and now - self._worst_at < REMEMBER_SECONDS:
            return f"the event loop turned {self._worst:.1f} s late {now - self._worst_at:.0f} s ago"
        return None

    async def turn(self) -> None:
        """Note each turn, for ever."""
        armed = float("-inf")
        while True:
            self._due = monotonic() + TURN_SECONDS
            await asyncio.sleep(TURN_SECONDS)
            now = monotonic()
            lag = max(0.0, now - self._due)
            if lag >= self._worst or now - self._worst_at >= REMEMBER_SECONDS:
                self._worst, self._worst_at = lag, now
            self._observer.on_loop_lag(lag)
            if self._hung and now - armed >= 1.0:
                faulthandler.dump_traceback_later(self._hung + GRACE_SECONDS, exit=True, file=STDERR)
                armed = now

    def look(self) -> None:
        """Watch from a thread until ``stop``."""
        while not self._stop.wait(LOOK_SECONDS):
            standing = monotonic() - self._due
            if self._hung and standing >= self._hung:
                self._end(standing)
                return

    def stop(self) -> None:
        """Watch no longer."""
        self._stop.set()
        faulthandler.cancel_dump_traceback_later()


@contextmanager
def watched(settings: HealthSettings, health: Health, observer: LoopObserver) -> Iterator[LoopWatch]:
    """Watch the running loop, in whose thread this is called; adds the check ``event-loop``."""
    watch = LoopWatch(settings, observer, end)
    health.add("event-loop", watch.late)
    turning = asyncio.get_running_loop().create_task(watch.turn())
    thread = threading.Thread(target=watch.look, name="watchdog", daemon=True)
    thread.start()
    try:
        yield watch
    finally:
        turning.cancel()
        watch.stop()
        thread.join()


def last_word() -> None:
    """Let the system end this process (SIGALRM) if nobody reads what it has to say.

    A write to a full pipe stands still, and telling of threads holds the interpreter meanwhile: no thread of
    ours could leave then.
    """
    signal.alarm(LAST_WORD_SECONDS)


def end(standing: float) -> None:
    """End this process: say why, show where every thread stands, and leave at once.

    Nothing is flushed or closed: whatever stands in the way of the loop would stand in the way of that.
    """
    last_word()
    said = f"error: watchdog: the event loop has not turned for {standing:.0f} s; all threads stand here:\n"
    os.write(STDERR, said.encode())
    faulthandler.dump_traceback(file=STDERR, all_threads=True)
    os._exit(STATUS)
