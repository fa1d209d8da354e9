"""A stock Faust app in a process of its own: what it loses, counts twice and overwrites is shown with it.

``python -m tests.faults.stock MODE BOOTSTRAP TOPIC FILE``: everything handled becomes a line of FILE.
"""

import asyncio
import os
import signal
import sys
from pathlib import Path

import faust

SLOW, BAD, STOP = b"slow", b"bad", b"stop"


def make_app(mode: str, bootstrap: str, topic: str, file: Path) -> faust.App:
    """An app of one agent with Faust's own transport, acknowledgements and tables."""
    app = faust.App(
        f"stock-{topic}",
        broker=f"kafka://{bootstrap}",
        broker_session_timeout=6.0,
        broker_heartbeat_interval=1.0,
        broker_commit_interval=600.0 if mode == "table" else 0.5,
        consumer_auto_offset_reset="earliest",
        topic_disable_leader=True,
        web_enabled=False,
        datadir=str(file.parent / f"{topic}-{os.getpid()}"),
    )
    source = app.topic(topic, value_type=bytes, value_serializer="raw", key_type=bytes, key_serializer="raw")
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
