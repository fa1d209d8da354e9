"""Request to list: a client of ours appends requests straight to ``events``, and reads the lists.

Beside it a relay that copies ``events`` to ``recommendations``: the same two hops, and no work.
"""

from itertools import count

import numpy as np

from deploy.benchmarks import _broker
from deploy.benchmarks._flow import Make, Message
from deploy.benchmarks.base import BenchArgs, BenchResult
from deploy.benchmarks.latency import compare
from schemas.events import Request, encode_event
from schemas.ids import partition_of
from schemas.settings import KafkaSettings
from schemas.topics import Topic

OPTIONS = _broker.OPTIONS | {"rate": 200, "seconds": 10, "warm": 15}
HOPS = (Topic.EVENTS, Topic.RECOMMENDATIONS)
PARTITIONS = KafkaSettings().partitions


def run(args: BenchArgs) -> BenchResult:
    """Measure."""
    return compare("request", args, lambda name: asking(args, name), HOPS, publish="requests")


def asking(args: BenchArgs, name: str) -> Make:
    """Requests of people drawn evenly, each to its person's partition."""
    draw, number = np.random.default_rng(1), count()

    def make(_: int, now: int) -> Message:
        user, cause = f"user-{draw.integers(args.whole('users'))}", f"{name}-{next(number)}"
        value = encode_event(Request(event_id=cause, request_id=cause, user_id=user, ts=now, k=10))
        return Message(Topic.EVENTS, partition_of(user, PARTITIONS), user, value, cause)

    return make
