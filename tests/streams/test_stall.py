"""Partitions that stand still while their log grows are named; healthy ones are not."""

import asyncio

import msgspec
import pytest

from schemas.topics import Topic, topic_name
from streams.observer import NullObserver
from streams.stall import Stalls
from tests.streams.clients.room import eventually, write
from tests.streams.test_worker import click, worker

PLACE = ("clicks", 0)


class Facts(NullObserver):
    def __init__(self):
        self.lags, self.stuck = {}, {}

    def on_progress(self, topic, partition, lag, stuck_seconds):
        self.lags[topic, partition], self.stuck[topic, partition] = lag, stuck_seconds

    def on_partition_gone(self, topic, partition):
        del self.lags[topic, partition], self.stuck[topic, partition]


def looks(*rows: tuple[float, int, int]) -> Stalls:
    """Rows of (now, position, end) of one partition; ten seconds are the limit."""
    stalls = Stalls(10.0, NullObserver())
    for now, position, end in rows:
        stalls.saw({PLACE: position}, {PLACE: end}, now)
    return stalls


@pytest.mark.parametrize(
    "rows",
    [
        [(0, 5, 5), (100, 5, 5)],  # nothing comes
        [(0, 5, 9), (100, 5, 9)],  # control markers, or what nobody delivers: the log does not grow
        [(0, 5, 9), (5, 5, 12), (14, 5, 15)],  # not for long enough
        [(0, 5, 9), (5, 5, 12), (14, 6, 15), (20, 6, 18)],  # it has moved
        [(0, 5, 9), (5, 5, 12), (14, 12, 12), (50, 12, 12)],  # it has caught up
    ],
    ids=["idle", "markers", "patience", "moves", "caught-up"],
)
def test_what_is_not_stuck(rows):
    """Each of these is the life of a healthy partition."""
    assert looks(*rows).why() is None


def test_what_is_stuck_is_named_and_told_once(caplog):
    """Topic, partition, offset and end; once in the log, for as long as it lasts on the check."""
    rows = [(0, 5, 9), (5, 5, 12), (16, 5, 15), (30, 5, 16)]
    stalls = looks(*rows)
    assert stalls.why() == "clicks/0 stands at offset 5 for 25 s while its log grew to 16"
    assert [r.getMessage() for r in caplog.records] == [
        "stuck partition: clicks/0 stands at offset 5 for 11 s while its log grew to 15"
    ]
    stalls.saw({PLACE: 6}, {PLACE: 16}, 31)
    assert stalls.why() is None


def test_a_partition_that_went_elsewhere_is_forgotten():
    """Its stall is the next owner's, and its figures disappear."""
    facts = Facts()
    stalls = Stalls(10.0, facts)
    for now, end in ((0, 9), (1, 12), (12, 15)):
        stalls.saw({PLACE: 5}, {PLACE: end}, now)
    assert (facts.lags, facts.stuck) == ({PLACE: 10}, {PLACE: 11.0})
    stalls.saw({}, {}, 13)
    assert (stalls.why(), facts.lags) == (None, {})


async def test_a_paused_partition_is_noticed_in_a_running_worker(deployment, caplog):
    """Nothing is fetched of it any more while producers go on: the check names it until it moves again."""
    health = msgspec.structs.replace(deployment.health, stuck_seconds=10.0)
    settings = msgspec.structs.replace(deployment, health=health)
    name = topic_name(Topic.CLICKS, settings.kafka.namespace)
    async with worker(settings) as app:
        n = 0

        async def clicks_until(check) -> None:
            nonlocal n
            async with asyncio.timeout(120):
                while not check():
                    await write(
                        settings.kafka, Topic.CLICKS, [click(f"u{n + m}", "i1", n + m) for m in range(20)]
                    )
                    n += 20
                    await asyncio.sleep(0.2)

        stalls = app.runtime.stalls

        def healthy() -> bool:
            return sum(app.committed().get((name, p), 0) for p in range(2)) > 0 and stalls.why() is None

        await clicks_until(healthy)
        consumer = app.consumer._thread._consumer
        paused = [tp for tp in consumer.assignment() if tp.topic == name and tp.partition == 0]
        consumer.pause(*paused)
        await clicks_until(lambda: (stalls.why() or "").startswith(f"{name}/0 stands at offset "))
        assert name + "/1" not in stalls.why()
        assert any(r.getMessage().startswith(f"stuck partition: {name}/0") for r in caplog.records)
        consumer.resume(*paused)
        await eventually(lambda: stalls.why() is None)
