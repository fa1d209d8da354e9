"""The catalogue of topics: names, partitions, retention, and who may write."""

from enum import StrEnum

import msgspec


class Topic(StrEnum):
    """Base names; a namespace prefixes them (``shop-a.events``)."""

    CLICKS = "clicks"
    PURCHASES = "purchases"
    IMPRESSIONS = "impressions"
    FEEDBACK = "feedback"
    REQUESTS = "requests"
    ITEMS = "items"
    USERS = "users"
    EVENTS = "events"
    SIGNALS = "signals"
    EMBEDDINGS = "embeddings"
    RECOMMENDATIONS = "recommendations"
    CAUSAL_REPORTS = "causal-reports"
    DEAD_LETTERS = "dead-letters"
    STATE = "state"


SOURCES = (Topic.CLICKS, Topic.PURCHASES, Topic.IMPRESSIONS, Topic.FEEDBACK, Topic.REQUESTS)
"""Topics that producers write events to."""


class TopicSpec(msgspec.Struct, frozen=True):
    """How a topic is created.

    Parameters
    ----------
    partitions
        0: as many as ``events`` has.
    compacted
        Keep the last value of each key for ever, instead of everything for ``retention_ms``.
    append_time
        Records carry the time at which the broker took them, whatever their producer's clock says.
    """

    topic: Topic
    partitions: int
    compacted: bool = False
    retention_ms: int = 7 * 24 * 3_600_000
    append_time: bool = False

    def config(self) -> dict[str, str]:
        """Kafka's topic settings."""
        stamp = {"message.timestamp.type": "LogAppendTime"} if self.append_time else {}
        if self.compacted:
            return stamp | {
                "cleanup.policy": "compact",
                "min.compaction.lag.ms": "600000",
                "segment.bytes": "67108864",
            }
        return stamp | {"cleanup.policy": "delete", "retention.ms": str(self.retention_ms)}


MONTH = 30 * 24 * 3_600_000
CATALOGUE: tuple[TopicSpec, ...] = (
    *(TopicSpec(t, 0, append_time=True) for t in SOURCES),
    TopicSpec(Topic.ITEMS, 1, compacted=True, append_time=True),
    TopicSpec(Topic.USERS, 0, compacted=True, append_time=True),
    TopicSpec(Topic.EVENTS, 0, retention_ms=MONTH),
    TopicSpec(Topic.SIGNALS, 1, retention_ms=3 * MONTH),
    TopicSpec(Topic.EMBEDDINGS, 1, compacted=True),
    TopicSpec(Topic.RECOMMENDATIONS, 0),
    TopicSpec(Topic.CAUSAL_REPORTS, 1, retention_ms=12 * MONTH),
    TopicSpec(Topic.DEAD_LETTERS, 1, retention_ms=MONTH),
    TopicSpec(Topic.STATE, 0, compacted=True),
)


REWRITTEN = (Topic.EVENTS, Topic.STATE)
"""Topics that a repartition writes anew, under another name."""


def topic_name(topic: Topic, namespace: str = "", generation: int = 1) -> str:
    """The name on the broker.

    Parameters
    ----------
    generation
        Which writing of ``events`` and ``state``; other topics have one only.

    Examples
    --------
    >>> topic_name(Topic.EVENTS), topic_name(Topic.EVENTS, "shop-a")
    ('events', 'shop-a.events')
    >>> topic_name(Topic.EVENTS, generation=2), topic_name(Topic.CLICKS, generation=2)
    ('events-2', 'clicks')
    """
    name = f"{namespace}.{topic.value}" if namespace else topic.value
    return f"{name}-{generation}" if generation > 1 and topic in REWRITTEN else name
