"""The latest list of everybody, in Redis: a view, never the only copy.

The writer reads ``recommendations`` with a consumer of its own, so that a slow or absent Redis keeps
nobody waiting but itself.  How far it has read stands in Redis beside the lists and is compared and
changed in one script with them: after FLUSHALL, a restart without persistence or a restored backup the
position is not the expected one, nothing is written, and the writer goes back to what Redis really holds.

Keys, for consumers in any language::

    [NAMESPACE:]list:SURFACE:USER   hash: ``list`` (the message's JSON), ``ts`` (ms); expires
    [NAMESPACE:]view:position       next offset of each partition, JSON
"""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

import msgspec
import redis.asyncio
from aiokafka import AIOKafkaConsumer, TopicPartition
from redis.exceptions import RedisError

from schemas.errors import UnavailableError
from schemas.heartbeats import Heartbeat
from schemas.recommendations import Recommendation
from schemas.settings import KafkaSettings, RedisSettings
from schemas.topics import Topic, topic_name
from streams.connection import consumer_options
from streams.kafka import connect as connect_consumer
from streams.partitions import partitions_of
from streams.tasks import closed, unless

Offsets = dict[int, int]

POLL_MS = 1_000
MAX_RECORDS = 500
BEHIND = 2 * MAX_RECORDS
"""Recommendations that may wait while the view calls itself ready."""
RETRY_SECONDS = 1.0
REDIS_TIMEOUT_SECONDS = 2.0

STORE = """
local held = redis.call('GET', KEYS[1]) or ''
if held ~= ARGV[1] then return held end
for i = 2, #KEYS do
  local ts, list = ARGV[3 * i - 3], ARGV[3 * i - 2]
  local old = redis.call('HGET', KEYS[i], 'ts')
  if not old or tonumber(old) <= tonumber(ts) then
    redis.call('HSET', KEYS[i], 'ts', ts, 'list', list)
    redis.call('PEXPIREAT', KEYS[i], ARGV[3 * i - 1])
  end
end
redis.call('SET', KEYS[1], ARGV[2])
return ARGV[2]
"""
"""KEYS: position, lists.  ARGV: expected and new position, then ts, list and expiry of each list.

Stores a list only if it is not older than the one that is there, and all of them only if the position is
the expected one; returns the position that Redis now holds."""


class ViewObserver(Protocol):
    """Told of what happens to the view; must not raise and must not block."""

    def lists_stored(self, lists: int) -> None:
        """Lists were written (or were older than what was there)."""
        ...

    def list_refused(self) -> None:
        """A message of ``recommendations`` could not be read."""
        ...

    def view_lost(self) -> None:
        """Redis does not hold what was written: it was flushed, restarted or restored."""
        ...

    def redis_failed(self, reason: str) -> None:
        """Redis did not answer; the writer tries again until it does."""
        ...

    def on_heartbeat(self, stage: str, topic: str, partition: int, ts: int) -> None:
        """A heartbeat that set out at ``ts`` was read from ``recommendations``."""
        ...


class NullViewObserver:
    """Counts nothing."""

    def lists_stored(self, lists: int) -> None:
        """Ignore."""

    def list_refused(self) -> None:
        """Ignore."""

    def view_lost(self) -> None:
        """Ignore."""

    def redis_failed(self, reason: str) -> None:
        """Ignore."""

    def on_heartbeat(self, stage: str, topic: str, partition: int, ts: int) -> None:
        """Ignore."""


class RedisView:
    """Keeps the view; one per namespace (a second one is harmless: the two share one position).

    Parameters
    ----------
    clock_ms
        Milliseconds since the epoch; decides where a rebuild begins to read.
    """

    def __init__(
        self,
        kafka: KafkaSettings,
        settings: RedisSettings,
        *,
        clock_ms: Callable[[], int],
        observer: ViewObserver | None = None,
    ) -> None:
        self._kafka = kafka
        self._ttl_ms = 1000 * settings.ttl_seconds
        self._clock_ms = clock_ms
        self._observer = observer or NullViewObserver()
        self._topic = topic_name(Topic.RECOMMENDATIONS, kafka.namespace)
        self._position_key = position_key(kafka.namespace)
        self._redis = connect(settings)
        self._held: bytes | None = None
        self._next: Offsets = {}
        self._decoder = msgspec.json.Decoder(_Head)
        self._why: str | None = "Redis was not reached yet"

    def ready(self) -> str | None:
        """None while Redis takes what is written, else why not."""
        return self._why

    async def run(self, stop: asyncio.Event) -> None:
        """Read and write until ``stop``; returns within one poll."""
        consumer = AIOKafkaConsumer(**consumer_options(self._kafka))
        if not await unless(stop, connect_consumer(consumer)):
            return
        try:
            await self._assign(consumer, stop)
            while not stop.is_set():
                try:
                    await self._step(consumer)
                except (RedisError, OSError) as error:
                    self._held = None
                    self._why = f"Redis does not take lists: {type(error).__name__}: {error}"
                    self._observer.redis_failed(self._why)
                    await _pause(stop)
        finally:
            try:
                await closed(consumer.stop())
            finally:
                await self._redis.aclose()

    async def _assign(self, consumer: Any, stop: asyncio.Event) -> None:
        """Take all partitions, as soon as the topic exists."""
        while not stop.is_set():
            if found := await partitions_of(self._kafka, Topic.RECOMMENDATIONS):
                consumer.assign(found)
                self._next = {tp.partition: 0 for tp in found}
                return
            await _pause(stop)

    async def _step(self, consumer: Any) -> None:
        """One poll and one script."""
        if self._held is None:
            await self._resume(consumer)
        batches = await consumer.getmany(timeout_ms=POLL_MS, max_records=MAX_RECORDS)
        after = self._next | {tp.partition: run[-1].offset + 1 for tp, run in batches.items()}
        rows = self._rows([record for run in batches.values() for record in run])
        if await self._store(rows, after) != _encode(after):
            self._held = None
            self._why = "Redis lost lists: they are being written again"
            self._observer.view_lost()
            return
        self._held, self._next = _encode(after), after
        self._why = self._behind(consumer)
        if rows:
            self._observer.lists_stored(len(rows))

    def _behind(self, consumer: Any) -> str | None:
        ends = ((consumer.highwater(TopicPartition(self._topic, p)) or 0, at) for p, at in self._next.items())
        left = sum(max(0, end - at) for end, at in ends)
        return f"{left} recommendations are not in Redis yet" if left > BEHIND else None

    async def _store(self, rows: "Sequence[_Row]", after: Offsets) -> bytes:
        keys = [
            self._position_key,
            *(list_key(self._kafka.namespace, row.surface, row.user_id) for row in rows),
        ]
        arguments: list[Any] = [self._held, _encode(after)]
        for row in rows:
            arguments += [row.ts, row.value, row.ts + self._ttl_ms]
        return bytes(await self._redis.eval(STORE, len(keys), *keys, *arguments))

    async def _resume(self, consumer: Any) -> None:
        """Go where Redis is: to the position that it holds, or, without one, as far back as lists live."""
        held: Any = await self._redis.get(self._position_key) or b""
        try:
            known = msgspec.json.decode(held, type=Offsets)
        except msgspec.DecodeError:  # none, or not ours: rebuild
            known = await self._oldest(consumer)
        self._next = {partition: known.get(partition, 0) for partition in self._next}
        for partition, offset in self._next.items():
            consumer.seek(TopicPartition(self._topic, partition), offset)
        self._held = held

    async def _oldest(self, consumer: Any) -> Offsets:
        since = max(0, self._clock_ms() - self._ttl_ms)
        asked = {TopicPartition(self._topic, p): since for p in self._next}
        found = await consumer.offsets_for_times(asked)
        return {tp.partition: 0 if at is None else at.offset for tp, at in found.items()}

    def _rows(self, records: Sequence[Any]) -> "list[_Row]":
        """The newest list of each person and surface among ``records``."""
        newest: dict[tuple[str, str], _Row] = {}
        for record in records:
            if record.value is None and (beat := Heartbeat.of(record.headers)) is not None:
                self._observer.on_heartbeat("view", self._topic, *beat)
                continue
            try:
                head = self._decoder.decode(record.value or b"")
            except (msgspec.DecodeError, UnicodeDecodeError):
                self._observer.list_refused()
                continue
            if head.restricted:  # it answers one request, and is nobody's newest list
                continue
            place = (head.surface, head.user_id)
            if place not in newest or newest[place].ts <= head.ts:
                newest[place] = _Row(head.surface, head.user_id, head.ts, record.value)
        return list(newest.values())


class _Head(msgspec.Struct):
    """What the view needs of a recommendation; the rest passes through as bytes."""

    user_id: str
    surface: str
    ts: int
    restricted: bool = False


class _Row(msgspec.Struct, frozen=True):
    surface: str
    user_id: str
    ts: int
    value: bytes


def connect(settings: RedisSettings) -> "redis.asyncio.Redis":
    """An asynchronous client whose every wait is bounded."""
    return redis.asyncio.Redis.from_url(
        settings.url, socket_timeout=REDIS_TIMEOUT_SECONDS, socket_connect_timeout=REDIS_TIMEOUT_SECONDS
    )


def list_key(namespace: str, surface: str, user_id: str) -> str:
    """Where a person's latest list of a surface is.

    Examples
    --------
    >>> list_key("", "home", "u1"), list_key("shop-a", "home", "u1")
    ('list:home:u1', 'shop-a:list:home:u1')
    """
    return f"{_prefix(namespace)}list:{surface}:{user_id}"


def position_key(namespace: str) -> str:
    """Where the view's own position is."""
    return f"{_prefix(namespace)}view:position"


async def read_list(
    client: "redis.asyncio.Redis", namespace: str, user_id: str, surface: str = "home"
) -> Recommendation | None:
    """A person's latest list, or None when the view has none.

    Raises
    ------
    UnavailableError
        Redis does not answer.
    """
    try:
        value = await client.hget(list_key(namespace, surface, user_id), "list")
    except (RedisError, OSError) as error:
        raise UnavailableError(
            f"redis.url: {type(error).__name__}: {error}: is Redis running there?"
        ) from error
    return None if value is None else msgspec.json.decode(value, type=Recommendation)


def _prefix(namespace: str) -> str:
    return f"{namespace}:" if namespace else ""


def _encode(offsets: Mapping[int, int]) -> bytes:
    return msgspec.json.encode(offsets)


async def _pause(stop: asyncio.Event) -> None:
    try:
        await asyncio.wait_for(stop.wait(), RETRY_SECONDS)
    except TimeoutError:  # the pause is over
        return
