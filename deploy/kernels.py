"""Compiled before anything is served: the first list must not wait for the compiler, nor the event loop."""

import asyncio
import threading
from time import perf_counter

from models.warm import warm

WORTH_TELLING_SECONDS = 5.0


class Kernels:
    """Compiles (or loads from the cache) every kernel on a thread of its own."""

    def __init__(self) -> None:
        self._reason: str | None = "compiling kernels"

    def missing(self) -> str | None:
        """A readiness check: None when all kernels are there."""
        return self._reason

    async def compile(self) -> float:
        """Return when every kernel is compiled; how long it took, s.

        The thread is a daemon: whoever is told to stop meanwhile need not wait for the compiler.
        """
        started = perf_counter()
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
        self._reason = None
        return perf_counter() - started
