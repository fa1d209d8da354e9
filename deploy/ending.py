"""Whoever was told to end ends: without what does not let go, and saying what that is."""

import asyncio
import faulthandler
import gc
import os
import threading
from typing import Any

from deploy.watchdog import STATUS, STDERR, last_word

LEAVE_SECONDS = 60.0
"""Longer than a drain and the end of all clients take, and than an orchestrator waits before it kills."""


def leave_within(seconds: float) -> None:
    """Leave this process if it is still here so much later; a thread of its own sees to it."""
    timer = threading.Timer(seconds, _leave, (seconds,))
    timer.daemon = True
    timer.start()


def _leave(seconds: float) -> None:
    """Nothing is flushed or closed: that is what did not come to an end."""
    try:
        last_word()
        said = f"error: told to end {seconds:.0f} s ago and still here; tasks wait here:\n"
        os.write(STDERR, said.encode())
        os.write(STDERR, "".join(f"  {_place_of(task)}\n" for task in _tasks()).encode())
        os.write(STDERR, b"and threads:\n")
        faulthandler.dump_traceback(file=STDERR, all_threads=True)
    finally:  # whatever went wrong in telling
        os._exit(STATUS)


def _tasks() -> "list[asyncio.Task[Any]]":
    """Of every loop: a Kafka client has one in a thread of its own."""
    gc.unfreeze()  # what was frozen when the process had started is not among the objects
    # By type: to ask a weak proxy for its class raises when its object is gone.
    return [one for one in gc.get_objects() if issubclass(type(one), asyncio.Task) and not one.done()]


def _place_of(task: "asyncio.Task[Any]") -> str:
    """Its name, its coroutine, and the lines where that and all that it awaits stand."""
    coro: Any = task.get_coro()
    name, lines = getattr(coro, "__qualname__", ""), []
    while coro is not None:
        if frame := _first(coro, "cr_frame", "ag_frame", "gi_frame"):
            lines.append(f"{frame.f_code.co_filename}:{frame.f_lineno}")
        coro = _first(coro, "cr_await", "ag_await", "gi_yieldfrom")
    return f"{task.get_name()} {name} {' > '.join(lines) or 'nowhere'}"


def _first(one: Any, *names: str) -> Any:
    """The first of these attributes that is there, of a coroutine, an asynchronous or a plain generator."""
    return next((found for name in names if (found := getattr(one, name, None)) is not None), None)
