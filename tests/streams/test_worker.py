"""The event process on a real broker: what goes in comes out once, and bad input harms nobody."""

import asyncio
from contextlib import asynccontextmanager

import msgspec

from models.engine import Engine
from schemas.events import Click, decode_event
from schemas.ids import partition_of
from schemas.settings import Settings
from schemas.signals import decode_block
from schemas.topics import Topic
from streams.app import create_app, serve, wall_clock
from tests.streams.clients.room import eventually, read, write


def engine_of(settings: Settings) -> Engine:
    return Engine.of(settings)


@asynccontextmanager
async def worker(settings: Settings):
    """A worker that serves until the block ends, and then drains."""
    app = create_app(settings, engine_of(settings))
    stop, started = asyncio.Event(), asyncio.Event()
    task = asyncio.create_task(serve(app, stop, started.set))
    try:
        done, _ = await asyncio.wait(
            {task, asyncio.ensure_future(started.wait())}, return_when=asyncio.FIRST_COMPLETED
        )
        if task in done:
            task.result()
        yield app
    finally:
        stop.set()
        await asyncio.wait_for(task, 30)


def click(user: str, item: str, n: int, **more) -> tuple[bytes, bytes]:
    body = {"event_id": f"e{n}", "user_id": user, "item_id": item, "ts": wall_clock(), **more}
    return user.encode(), msgspec.json.encode(body)


async def test_clicks_become_events_and_signals(deployment):
    """Every click is routed to its person's partition and gives one interaction row."""
    clicks = [click(f"u{n % 7}", f"i{n % 5}", n) for n in range(200)]
    await write(deployment.kafka, Topic.CLICKS, clicks)
    async with worker(deployment):

        async def rows() -> int:
            blocks = [decode_block(r.value) for r in await read(deployment.kafka, Topic.SIGNALS)]
            return sum(len(b.interactions) for b in blocks) == 200

        await eventually(rows)
        events = await read(deployment.kafka, Topic.EVENTS)
        found = [decode_event(r.value) for r in events]
        assert all(r.partition == partition_of(e.user_id, 2) for r, e in zip(events, found, strict=True))
        assert {e.event_id for e in found if isinstance(e, Click)} == {f"e{n}" for n in range(200)}
