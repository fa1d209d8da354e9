"""Runs the HTTP side: the live view's reader, the gateway's producer, and uvicorn, until told to stop."""

import asyncio
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import uvicorn
from typing_extensions import override  # an aiokafka requirement; typing has it from 3.12

from deploy.api.app import create_api
from deploy.api.context import ApiContext, new_id, nothing_stored
from deploy.api.gateway import Gateway
from deploy.api.ladder import LowerRungs
from deploy.api.live import LiveView
from deploy.api.reader import LiveReader
from deploy.api.related import RelatedItems
from deploy.api.stored import StoredLists
from deploy.health import Health
from deploy.metrics import Metrics
from deploy.watchdog import watched
from schemas.errors import UnavailableError
from schemas.settings import Settings
from streams.tasks import end


def now_ms() -> int:
    """The wall clock, ms since the epoch."""
    return time.time_ns() // 1_000_000


async def serve(
    settings: Settings,
    stop: asyncio.Event,
    *,
    metrics: Metrics | None = None,
    listening: Callable[[int], None] = lambda _: None,
) -> None:
    """Serve until ``stop`` is set.

    Parameters
    ----------
    settings
        ``api.host`` and ``api.port`` (0 takes a free one), and how to reach the broker and Redis.
    listening
        Told the port as soon as requests are answered; the broker may still be away then.

    Raises
    ------
    UnavailableError
        The port is taken.
    """
    metrics = metrics or Metrics()
    related = RelatedItems(settings)
    view = LiveView(metrics.api, related.put)
    reader = LiveReader(view, settings.kafka, now_ms)
    stored = StoredLists(settings, metrics.api, time.monotonic) if settings.redis.url else None
    look = stored.look if stored is not None else nothing_stored
    gateway = Gateway(view, settings.kafka, LowerRungs(settings, view, look, now_ms, new_id))
    health = Health({"reader": reader.ready, "gateway": gateway.ready})
    if stored is not None:
        health.note("redis", stored.why)
    context = ApiContext(
        settings=settings,
        view=view,
        gateway=gateway,
        health=health,
        metrics=metrics,
        related=related,
        clock=now_ms,
        stored=look,
    )
    work = [asyncio.create_task(reader.run()), asyncio.create_task(gateway.run())]
    work.append(asyncio.create_task(_serve_http(context, stop, listening)))
    try:
        with watched(settings.health, health, metrics.process):
            done, _ = await asyncio.wait(work, return_when=asyncio.FIRST_COMPLETED)
        # Reader and gateway never end by themselves: if one did, it failed, and we fail with it.
        for task in done:
            task.result()
    finally:
        stop.set()
        await asyncio.wait([work[-1]])
        await end(*work)
        if stored is not None:
            await stored.close()


class _Server(uvicorn.Server):
    """uvicorn without its signal handlers: who calls us decides when we stop."""

    @override
    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Leave them as they are."""
        yield


async def _serve_http(context: ApiContext, stop: asyncio.Event, listening: Callable[[int], None]) -> None:
    server = _Server(
        uvicorn.Config(
            create_api(context),
            log_level="warning",
            access_log=False,
            server_header=False,
            timeout_graceful_shutdown=2,
            h11_max_incomplete_event_size=64 << 10,
            lifespan="on",
        )
    )
    with _bound(context.settings.api.host, context.settings.api.port) as place:
        serving = asyncio.create_task(server.serve([place]))
        stopping = asyncio.create_task(stop.wait())
        try:
            while not server.started and not serving.done():  # noqa: ASYNC110  uvicorn has no event for it
                await asyncio.sleep(0.02)
            listening(place.getsockname()[1])
            await asyncio.wait([serving, stopping], return_when=asyncio.FIRST_COMPLETED)
        finally:
            server.should_exit = True
            stopping.cancel()
            await serving


def _bound(host: str, port: int) -> socket.socket:
    """A listening socket; uvicorn, left to bind by itself, would end the process."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, port), family=family, backlog=2048)
    except OSError as error:
        raise UnavailableError(f"api.port: {host}:{port}: {error.strerror}: choose another port") from error
