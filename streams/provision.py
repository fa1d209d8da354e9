"""Creating and checking the topics of a deployment."""

from collections.abc import Iterable
from typing import Any, Literal

import msgspec
from aiokafka.admin import NewTopic
from aiokafka.errors import KafkaError, TopicAlreadyExistsError

from schemas.errors import SettingsError, UnavailableError
from schemas.settings import Settings
from schemas.topics import CATALOGUE, SOURCES, Topic, TopicSpec, topic_name
from streams.kafka import MAX_REQUEST_BYTES, admin

Status = Literal["exists", "missing", "created", "wrong"]

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
            topic_name(spec.topic, settings.kafka.namespace),
            msgspec.structs.replace(spec, partitions=spec.partitions or count),
        )
        for spec in CATALOGUE
    ]


async def plan(settings: Settings) -> list[Plan]:
    """Compare the broker with the catalogue; changes nothing."""
    async with admin(settings.kafka) as client:
        found = await _partitions(client)
    return [_judge(name, spec.partitions, found.get(name, 0)) for name, spec in wanted(settings)]


async def provision(settings: Settings) -> list[Plan]:
    """Create what is missing.

    Raises
    ------
    SettingsError
        A topic has another number of partitions than the settings say: people would change their
        partition, so nothing is touched.
    """
    async with admin(settings.kafka) as client:
        found = await _partitions(client)
        plans = [_judge(name, spec.partitions, found.get(name, 0)) for name, spec in wanted(settings)]
        refuse_wrong(plans)
        missing = [(n, s) for n, s in wanted(settings) if n not in found]
        for name, spec in missing:
            await _create(client, name, spec, settings)
    made = {name for name, _ in missing}
    return [
        msgspec.structs.replace(p, status="created", found=p.partitions) if p.name in made else p
        for p in plans
    ]


def refuse_wrong(plans: Iterable[Plan]) -> None:
    """Stop at the first topic whose partition count differs."""
    for wrong in plans:
        if wrong.status == "wrong":
            raise SettingsError(
                f"kafka.partitions: {wrong.partitions}: {wrong.name} has {wrong.found}; {wrong.remedy}"
            )


def _judge(name: str, want: int, found: int) -> Plan:
    if not found:
        return Plan(name, want, 0, "missing", "run `streamwise topics --create`")
    if found != want:
        remedy = f"set kafka.partitions = {found}, or start a new namespace: the count is fixed for life"
        return Plan(name, want, found, "wrong", remedy)
    return Plan(name, want, found, "exists")


async def _partitions(client: Any) -> dict[str, int]:
    try:
        described = await client.describe_topics()
    except KafkaError as error:
        raise UnavailableError(f"the broker does not describe its topics ({error!r})") from error
    return {t["topic"]: len(t["partitions"]) for t in described}


async def _create(client: Any, name: str, spec: TopicSpec, settings: Settings) -> None:
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
