"""Compiled before anything is served: the first list must not wait for the compiler, nor the event loop.

The compiler holds the interpreter lock for up to seconds at a time, so it works in a child process, which
fills the cache on disk; this process then loads from the cache, on a thread of its own.
"""

import asyncio
import logging
import sys
import threading
from collections.abc import Callable
from time import perf_counter

from deploy.process import COMPILING, kill_group, spawn
from models.jit import KERNELS
from models.warm import warm

log = logging.getLogger(__name__)

WORTH_TELLING_SECONDS = 5.0
POLL_SECONDS = 0.1
FEW = 0.1
"""Share of kernels that may be compiled on the thread: for fewer a child is not worth its start."""


def cold() -> list[str]:
    """Kernels without machine code in the cache: of changed sources, or never compiled on such a machine."""
    caches = {f"{k.py_func.__module__}.{k.py_func.__qualname__}": k._cache for k in KERNELS}  # noqa: SLF001
    # numba tells nobody what its cache holds; its index is empty where sources or processor differ.
    return [name for name, cache in caches.items() if not cache._cache_file._load_index()]  # noqa: SLF001


def tell_if_cold(say: Callable[[str], None]) -> None:
    """Say so before a process compiles most kernels where they are first used: one would wonder."""
    if len(cold()) > FEW * len(KERNELS):
        say(COMPILING)


class Kernels:
    """Compiles (or loads from the cache) every kernel on a thread of its own."""

    def __init__(self) -> None:
        self._reason: str | None = "compiling kernels"

    def missing(self) -> str | None:
        """A readiness check: None when all kernels are there."""
        return self._reason

    async def compile(self) -> float:
        """Return when every kernel is compiled and loaded; how long it took, s."""
        started = perf_counter()
        if len(cold()) > FEW * len(KERNELS):
            await _fill_cache()
        await _load()
        self._reason = None
        return perf_counter() - started


async def _fill_cache() -> None:
    """Compile in a child, which dies with us; should it fail, loading compiles what is missing."""
    child = spawn([sys.executable, "-m", "models.warm"])
    try:
        while child.poll() is None:  # noqa: ASYNC110  a process has no event here
            await asyncio.sleep(POLL_SECONDS)
    finally:
        if child.poll() is None:
            kill_group(child)
            child.wait()
    if child.returncode:
        log.warning("python -m models.warm ended with status %d", child.returncode)


async def _load() -> None:
    """Run every kernel once, on a daemon thread: whoever is told to stop meanwhile need not wait for it."""
    loop = asyncio.get_running_loop()
    done: asyncio.Future[None] = loop.create_future()

    def settle(error: BaseException | None) -> None:
        if done.done():  # whoever waited was cancelled
            return
        if error is None:
            done.set_result(None)
        else:
            done.set_exception(error)

    def work() -> None:
        error: BaseException | None = None
        try:
            warm()
        except BaseException as raised:  # noqa: BLE001  whatever it is, the loop must hear of it
            error = raised
        if not loop.is_closed():
            loop.call_soon_threadsafe(settle, error)

    threading.Thread(target=work, name="kernels", daemon=True).start()
    await done
