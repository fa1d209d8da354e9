"""The intake agent: producers' messages become canonical events, in one order per person.

Each record is mapped, validated and cleaned, and each event goes to the ``events`` partition of its
person by our own partitioner, whatever partition the producer chose.  A message that cannot be read
goes to ``dead-letters`` with its bytes untouched and costs its neighbours microseconds.  A batch is
acknowledged when everything it became has been acknowledged by the broker.
"""

import asyncio
from collections import defaultdict
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import msgspec

from schemas.catalogue import User
from schemas.errors import InvalidMessageError
from schemas.events import Erase, Tick, decode, encode_event
from schemas.heartbeats import Heartbeat
from schemas.ids import partition_of
from schemas.settings import Settings
from schemas.topics import Topic, topic_name
from streams.cleaning import Clean, Limits, Place, aligned, clean
from streams.crash import CrashPoint, Step
from streams.deadletters import DeadLetter, DeadLetters
from streams.items import read_embedding, read_item
from streams.mapping import FactType, Reader, mapped_reader, plain_reader
from streams.observer import StreamObserver
from streams.tasks import Tasks
from streams.transport import Record, RecordBatch
from streams.writer import LogWriter, Outgoing

PLAIN: Mapping[Topic, FactType] = {
    Topic.CLICKS: "click",
    Topic.PURCHASES: "purchase",
    Topic.IMPRESSIONS: "impression",
    Topic.FEEDBACK: "feedback",
    Topic.REQUESTS: "request",
}

Read = Callable[[Record], Clean]
"""What a record becomes."""

ReaderOf = Callable[[int, int], Read]
"""(partition, incarnation) of a topic → how its records are read."""

PEOPLE_REMEMBERED = 1 << 18

NOTHING: Clean = ("", [], False)


class Routed(NamedTuple):
    """What a batch became.

    Attributes
    ----------
    by_partition
        Canonical events by ``events`` partition, in the order of the batch.
    clamped
        How many messages had a time in the future.
    beats
        Heartbeats; each is a tick of its ``events`` partition.
    """

    by_partition: dict[int, list[Outgoing]]
    letters: list[DeadLetter]
    clamped: int
    events: int
    beats: tuple[Heartbeat, ...] = ()


class Router:
    """Maps, validates, cleans and routes; knows no Kafka.

    Parameters
    ----------
    incarnations
        Life of each (topic, partition) that is not in its first.
    """

    def __init__(self, settings: Settings, incarnations: Mapping[tuple[str, int], int]) -> None:
        self._incarnations = incarnations
        self._partitions = settings.kafka.partitions
        self._beats_on = topic_name(Topic.REQUESTS, settings.kafka.namespace)
        self._partition_of: dict[str, int] = {}
        self._readers = readers(settings)

    @property
    def topics(self) -> list[str]:
        """Names of all topics that intake reads."""
        return list(self._readers)

    def route(self, batch: RecordBatch) -> Routed:
        """What the batch becomes; never raises for data."""
        incarnation = self._incarnations.get((batch.topic, batch.partition), 0)
        read = self._readers[batch.topic](batch.partition, incarnation)
        routed: defaultdict[int, list[Outgoing]] = defaultdict(list)
        letters: list[DeadLetter] = []
        beats: list[Heartbeat] = []
        clamped = count = 0
        for record in batch.records:
            if record.value is None and (beat := self._beat(record)) is not None:
                tick = encode_event(Tick(ts=record.timestamp, beat=beat.ts))
                routed[beat.partition].append(Outgoing(None, tick, (), record.timestamp))
                beats.append(beat)
                continue
            try:
                user, events, late = read(record)
            except InvalidMessageError as error:
                letters.append(DeadLetter(record, error))
                continue
            clamped += late
            count += len(events)
            if events:
                to, key, ts = routed[self._partition(user)], user.encode(), record.timestamp
                to += [Outgoing(key, event, (), ts) for event in events]
        return Routed(routed, letters, clamped, count, tuple(beats))

    def _partition(self, user: str) -> int:
        """The person's partition, remembered: a hash costs ten times a look-up."""
        found = self._partition_of.get(user)
        if found is None:
            if len(self._partition_of) >= PEOPLE_REMEMBERED:
                self._partition_of.clear()
            found = self._partition_of[user] = partition_of(user, self._partitions)
        return found

    def _beat(self, record: Record) -> Heartbeat | None:
        """The heartbeat that a record without a value is, if it is one of ours."""
        beat = Heartbeat.of(record.headers)
        ours = beat is not None and beat.partition < self._partitions and record.topic == self._beats_on
        return beat if ours else None


def readers(settings: Settings) -> dict[str, ReaderOf]:
    """For each topic that intake reads, how."""
    limits = Limits.of(settings.intake)
    space = settings.kafka.namespace
    found: dict[str, ReaderOf] = {}
    for topic, kind in PLAIN.items():
        name = topic_name(topic, space)
        found[name] = _fact_reader(plain_reader(kind), kind, name, limits)
    found[topic_name(Topic.USERS, space)] = lambda *_: _read_user
    found[topic_name(Topic.ITEMS, space)] = _checked(read_item)
    found[topic_name(Topic.EMBEDDINGS, space)] = _checked(read_embedding)
    for mapping in settings.intake.mappings:
        found[mapping.topic] = _fact_reader(mapped_reader(mapping), mapping.type, mapping.topic, limits)
    return found


def _fact_reader(read: Reader, kind: FactType, topic: str, limits: Limits) -> ReaderOf:
    def reader(partition: int, incarnation: int) -> Read:
        place = Place(kind, topic, partition, incarnation)

        def fact(record: Record) -> Clean:
            if record.value is None:
                raise InvalidMessageError("$", None, "send a JSON object; a null means nothing here")
            ce_id = _ce_id(record.headers) if record.headers else None
            return clean(read(record.value), place, record.offset, record.timestamp, limits, ce_id)

        return fact

    return reader


def _ce_id(headers: Any) -> str | None:
    for name, value in headers:
        if name == "ce_id":
            text = bytes(value).decode("utf-8", errors="replace")
            return aligned(text, "header ce_id", "send a non-empty id")[:1024]
    return None


_user_decoder = msgspec.json.Decoder(User)


def _read_user(record: Record) -> Clean:
    """``users``: a null value erases the person; a profile is checked, and changes no state yet."""
    if record.value is not None:
        decode(_user_decoder, record.value)
        return NOTHING
    try:
        user = (record.key or b"").decode()
    except UnicodeDecodeError as error:
        raise InvalidMessageError("key", record.key, "the key is a UTF-8 user id") from error
    user = aligned(user, "key", "the key is the user id")
    return user, [encode_event(Erase(user_id=user, ts=record.timestamp))], False


def _checked(read: Callable[[Record], object]) -> ReaderOf:
    """``items`` and ``embeddings``: checked here for all who read them, and no event of anybody."""

    def check(record: Record) -> Clean:
        read(record)
        return NOTHING

    return lambda *_: check


class Intake:
    """The agent's body: route a batch, append, acknowledge when it has landed."""

    def __init__(
        self,
        router: Router,
        writer: LogWriter,
        letters: DeadLetters,
        tasks: Tasks,
        *,
        observer: StreamObserver,
        crash: CrashPoint,
    ) -> None:
        self._router = router
        self._writer = writer
        self._letters = letters
        self._tasks = tasks
        self._observer = observer
        self._crash = crash
        self._open = 0
        self._idle = asyncio.Event()
        self._idle.set()

    async def take(self, batch: RecordBatch, acknowledge: Callable[[], None]) -> None:
        """Route one batch; returns before anything has landed, waits only for room."""
        await self._writer.room()
        await self._letters.room()
        routed = self._router.route(batch)
        landing = [self._writer.put(p, records) for p, records in routed.by_partition.items()]
        if routed.letters:
            landing.append(self._letters.put(routed.letters, "intake"))
            for letter in routed.letters:
                self._observer.on_dead_letter("intake", type(letter.error).__name__)
        for beat in routed.beats:
            self._observer.on_heartbeat("intake", batch.topic, batch.partition, beat.ts)
        self._observer.on_intake(batch.topic, len(batch.records), routed.events, routed.clamped)
        self._crash(Step.INTAKE_SENT)
        self._open += 1
        self._idle.clear()
        self._tasks.start(self._finish(landing, acknowledge))

    async def _finish(self, landing: "list[asyncio.Future[None]]", acknowledge: Callable[[], None]) -> None:
        for future in landing:
            await future
        self._crash(Step.INTAKE_LANDED)
        acknowledge()
        self._open -= 1
        if not self._open:
            self._idle.set()

    async def drained(self) -> None:
        """Wait until every batch taken has landed."""
        await self._idle.wait()
