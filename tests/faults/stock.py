"""A stock Faust app in a process of its own: what it loses, counts twice and overwrites is shown with it.

``python -m tests.faults.stock MODE BOOTSTRAP TOPIC FILE``: everything handled becomes a line of FILE.
"""

import asyncio
import os
import signal
import sys
from pathlib import Path
from typing import Any

import faust

SLOW, BAD, STOP = b"slow", b"bad", b"stop"


def stock_app(bootstrap: str, topic: str, file: Path, **options: Any) -> faust.App:
    """But for its session, where its data lie, and these options, everything is Faust's default."""
    return faust.App(
        f"stock-{topic}",
        broker=f"kafka://{bootstrap}",
        broker_session_timeout=6.0,
        broker_heartbeat_interval=1.0,
        consumer_auto_offset_reset="earliest",
        topic_disable_leader=True,
        web_enabled=False,
        datadir=str(file.parent / f"{topic}-{os.getpid()}"),
        **options,
    )


def raw_topic(app: faust.App, name: str) -> faust.TopicT:
    """Keys and values as they are."""
    return app.topic(name, value_type=bytes, value_serializer="raw", key_type=bytes, key_serializer="raw")


def make_app(mode: str, bootstrap: str, topic: str, file: Path) -> faust.App:
    """An app of one agent with Faust's own transport, acknowledgements and tables."""
    app = stock_app(bootstrap, topic, file, broker_commit_interval=600.0 if mode == "table" else 0.5)
    source = raw_topic(app, topic)
    counts = app.Table(f"{topic}-counts", default=int, partitions=1)

    def tell(value: bytes) -> None:
        with file.open("a", encoding="utf-8") as lines:
            lines.write(f"{value.decode()}\n")

    @app.agent(source, concurrency=2 if mode == "order" else 1)
    async def handle(stream: faust.StreamT) -> None:
        async for value in stream:
            if value == BAD:
                raise ValueError(value)
            if value == SLOW:
                await asyncio.sleep(600)
            seen = counts["all"]
            if value == STOP and mode == "zombie":
                tell(value)
                os.kill(os.getpid(), signal.SIGSTOP)
            counts["all"] = seen + 1
            tell(value)

    return app


if __name__ == "__main__":
    made = make_app(sys.argv[1], sys.argv[2], sys.argv[3], Path(sys.argv[4]))
    faust.Worker(made, loglevel="warning", quiet=True).execute_from_commandline()
