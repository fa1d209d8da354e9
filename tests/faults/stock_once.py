"""A stock Faust app with ``processing_guarantee="exactly_once"``: what becomes of that under SIGKILL.

``python -m tests.faults.stock_once MODE BOOTSTRAP TOPIC FILE``: mode ``count`` counts every value in a
table, mode ``forward`` sends every value to ``TOPIC-out``.
"""

import sys
from pathlib import Path

import faust

from tests.faults.stock import raw_topic, stock_app


def make_app(mode: str, bootstrap: str, topic: str, file: Path) -> faust.App:
    """An app of one agent, with transactions."""
    app = stock_app(bootstrap, topic, file, broker_commit_interval=0.5, processing_guarantee="exactly_once")
    source, sink = raw_topic(app, topic), raw_topic(app, f"{topic}-out")
    return counting(app, source, topic) if mode == "count" else forwarding(app, source, sink)


def counting(app: faust.App, source: faust.TopicT, topic: str) -> faust.App:
    """Every value becomes a key of a table."""
    counts = app.Table(f"{topic}-counts", default=int, partitions=1)

    @app.agent(source)
    async def count(stream: faust.StreamT) -> None:
        async for value in stream:
            counts[value.decode()] += 1

    return app


def forwarding(app: faust.App, source: faust.TopicT, sink: faust.TopicT) -> faust.App:
    """Every value is sent on."""

    @app.agent(source)
    async def forward(stream: faust.StreamT) -> None:
        async for value in stream:
            await sink.send(key=value, value=value)

    return app


if __name__ == "__main__":
    made = make_app(sys.argv[1], sys.argv[2], sys.argv[3], Path(sys.argv[4]))
    faust.Worker(made, loglevel="warning", quiet=True).execute_from_commandline()
