"""Creating and checking the topics of a deployment."""

from collections.abc import Iterable
from typing import Any, Literal

import msgspec
from aiokafka.admin import NewTopic
from aiokafka.errors import KafkaError, TopicAlreadyExistsError

from schemas.errors import SettingsError, UnavailableError
from schemas.settings import Settings
from schemas.topics import CATALOGUE, REWRITTEN, SOURCES, Topic, TopicSpec
from streams.kafka import MAX_REQUEST_BYTES, admin

Status = Literal["exists", "missing", "created", "wrong"]

ONE = tuple(spec.topic for spec in CATALOGUE if spec.partitions == 1)
"""Topics whose readers know one partition only."""

SOURCE_MAX_BYTES = 4 << 20
"""Sources take more than one message may have: what is too long becomes a dead letter, not a stall."""


class Plan(msgspec.Struct, frozen=True):
    """One topic as it should be and as it is."""

    name: str
    partitions: int
    found: int
    status: Status
    remedy: str = ""


def wanted(settings: Settings) -> list[tuple[str, TopicSpec]]:
    """Names and specifications of every topic, partition counts filled in."""
    count = settings.kafka.partitions
    return [
        (
            settings.kafka.topic(spec.topic),
            msgspec.structs.replace(spec, partitions=spec.partitions or count),
        )
        for spec in CATALOGUE
    ]


async def plan(settings: Settings) -> list[Plan]:
    """Compare the broker with the catalogue; changes nothing."""
    async with admin(settings.kafka) as client:
        found = await _partitions(client)
    return _plans(settings, found)


def _plans(settings: Settings, found: dict[str, int]) -> list[Plan]:
    first = settings.kafka.generation == 1
    return [_judge(name, spec, found.get(name, 0), first=first) for name, spec in wanted(settings)]


async def provision(settings: Settings) -> list[Plan]:
    """Create what is missing.

    Raises
    ------
    SettingsError
        ``events`` or ``state`` has another number of partitions than the settings say: people would
        change their partition, so nothing is touched.  (Producers' topics may have any number.)
    """
    async with admin(settings.kafka) as client:
        found = await _partitions(client)
        plans = _plans(settings, found)
        refuse_wrong(plans)
        missing = [(n, s) for n, s in wanted(settings) if n not in found]
        for name, spec in missing:
            await create(client, name, spec, settings)
    made = {name for name, _ in missing}
    return [
        msgspec.structs.replace(p, status="created", found=p.partitions, remedy="") if p.name in made else p
        for p in plans
    ]


def refuse_wrong(plans: Iterable[Plan]) -> None:
    """Stop at the first topic whose partition count differs."""
    for wrong in plans:
        if wrong.status == "wrong":
            raise SettingsError(
                f"kafka.partitions: {wrong.partitions}: {wrong.name} has {wrong.found}; {wrong.remedy}"
            )


def _judge(name: str, spec: TopicSpec, found: int, *, first: bool) -> Plan:
    want = spec.partitions
    if not found and spec.topic in REWRITTEN and not first:
        return Plan(name, want, 0, "wrong", "no such generation: `streamwise repartition` makes it")
    if not found:
        return Plan(name, want, 0, "missing", "run `streamwise topics --create`")
    if found != want and spec.topic in REWRITTEN:
        remedy = (
            f"set kafka.partitions = {found}, or stop all workers and move people to {want} partitions: "
            f"`streamwise repartition --partitions {want}` (with kafka.partitions = {found})"
        )
        return Plan(name, want, found, "wrong", remedy)
    if spec.topic is Topic.RECOMMENDATIONS and found < want:
        remedy = f"add partitions to it: it needs at least {want}"
        return Plan(name, want, found, "wrong", remedy)
    if spec.topic in ONE and found != want:
        return Plan(name, want, found, "wrong", "it has one partition, always: create it again")
    return Plan(name, want, found, "exists")


async def _partitions(client: Any) -> dict[str, int]:
    try:
        described = await client.describe_topics()
    except KafkaError as error:
        raise UnavailableError(f"the broker does not describe its topics ({error!r})") from error
    return {t["topic"]: len(t["partitions"]) for t in described}


async def create(client: Any, name: str, spec: TopicSpec, settings: Settings) -> None:
    """Create one topic as its specification says."""
    config = {**spec.config(), "max.message.bytes": str(_max_bytes(spec.topic))}
    topic = NewTopic(name, spec.partitions, settings.kafka.replication, topic_configs=config)
    try:
        response = await client.create_topics([topic])
    except TopicAlreadyExistsError:  # another worker was faster
        return
    except KafkaError as error:
        raise UnavailableError(f"{name}: cannot be created ({error!r})") from error
    for _, code, *message in response.topic_errors:
        if code not in {0, TopicAlreadyExistsError.errno}:
            raise UnavailableError(f"{name}: cannot be created (error {code}: {message})")


def _max_bytes(topic: Topic) -> int:
    return SOURCE_MAX_BYTES if topic in SOURCES else MAX_REQUEST_BYTES
