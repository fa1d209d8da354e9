"""Whoever was told to end ends: without what does not let go, and saying what that is."""

import asyncio
import faulthandler
import gc
import os
import threading
from collections.abc import Iterator
from typing import Any

from deploy.watchdog import STATUS, STDERR

LEAVE_SECONDS = 60.0
"""Longer than a drain and the end of all clients take, and than an orchestrator waits before it kills."""


def leave_within(seconds: float) -> None:
    """Leave this process if it is still here so much later; a thread of its own sees to it."""
    timer = threading.Timer(seconds, _leave, (seconds,))
    timer.daemon = True
    timer.start()


def _leave(seconds: float) -> None:
    """Nothing is flushed or closed: that is what did not come to an end."""
    waiting = "".join(f"  {_place_of(task)}\n" for task in _tasks())
    said = f"error: told to end {seconds:.0f} s ago and still here; tasks wait here:\n{waiting}and threads:\n"
    os.write(STDERR, said.encode())
    faulthandler.dump_traceback(file=STDERR, all_threads=True)
    os._exit(STATUS)


def _tasks() -> "Iterator[asyncio.Task[Any]]":
    """Of every loop: a Kafka client has one in a thread of its own."""
    return (one for one in gc.get_objects() if isinstance(one, asyncio.Task) and not one.done())


def _place_of(task: "asyncio.Task[Any]") -> str:
    """Its name, its coroutine, and the line where that one waits."""
    frames = task.get_stack()
    where = f"{frames[-1].f_code.co_filename}:{frames[-1].f_lineno}" if frames else "nowhere"
    return f"{task.get_name()} {getattr(task.get_coro(), '__qualname__', '')} {where}"
