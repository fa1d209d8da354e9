"""Brokers of the stream tests, and a namespace of its own for each test."""

import gc
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import msgspec
import pytest

from deploy.embedded.broker import EmbeddedBroker
from deploy.embedded.compat import install
from schemas.settings import (
    HealthSettings,
    KafkaSettings,
    LearnerSettings,
    ListSettings,
    Settings,
    UserSettings,
)
from streams.provision import provision


@pytest.fixture(autouse=True)
def _time_to_drain(monkeypatch: pytest.MonkeyPatch) -> None:
    """Workers in a test's own process may take nearly as long to end as the test waits for it."""
    monkeypatch.setattr("streams.app.DRAIN_SECONDS", 50.0)


@pytest.fixture(scope="session")
def embedded() -> Iterator[KafkaSettings]:
    """Settings of an embedded broker of this session."""
    install()
    with EmbeddedBroker() as broker:
        # a longer session does not throw a starved worker out; half of it is what every join costs
        yield msgspec.convert(broker.settings() | {"session_seconds": 3.0}, KafkaSettings)


@pytest.fixture(
    params=[
        pytest.param("embedded", marks=pytest.mark.embedded),
        pytest.param("kafka", marks=pytest.mark.kafka),
    ]
)
def any_broker(request: pytest.FixtureRequest) -> KafkaSettings:
    """The embedded broker, and the real Kafka."""
    found: Any = request.getfixturevalue(request.param)
    return found if isinstance(found, KafkaSettings) else KafkaSettings(bootstrap=found, session_seconds=6.0)


def deployment_on(broker: KafkaSettings, directory: Path) -> Settings:
    """Settings of a deployment that shares nothing with others: quick checkpoints, lists on request."""
    name = f"t{uuid4().hex[:8]}"
    return Settings(
        kafka=msgspec.structs.replace(broker, namespace=name, group=name, partitions=2),
        users=UserSettings(checkpoint_seconds=0.5),
        lists=ListSettings(publish="requests"),
        learner=LearnerSettings(directory=str(directory / "snapshots"), snapshot_seconds=1.0),
        health=HealthSettings(heartbeat_seconds=0),
    )


@pytest.fixture
async def deployment(any_broker: KafkaSettings, tmp_path: Path) -> Settings:
    """A deployment with its topics, once on each broker."""
    settings = deployment_on(any_broker, tmp_path)
    await provision(settings)
    return settings


@pytest.fixture
def collected() -> Iterator[None]:
    """Sockets of workers that are made to fail are collected here, not in somebody else's test."""
    yield
    gc.collect()
