"""Brokers: the real Kafka and the embedded one."""

from collections.abc import Iterator

import pytest

from deploy.embedded.broker import EmbeddedBroker
from deploy.embedded.compat import install
from schemas.settings import KafkaSettings


@pytest.fixture(scope="session")
def tansu() -> Iterator[KafkaSettings]:
    """Settings for an embedded broker of this session's own."""
    install()
    with EmbeddedBroker() as broker:
        # a longer session does not throw a starved encoder out, whose next one would publish again
        yield KafkaSettings(**broker.settings() | {"session_seconds": 6.0, "linger_ms": 0})


@pytest.fixture
def real(kafka: str) -> KafkaSettings:
    """Settings for a real Kafka."""
    return KafkaSettings(bootstrap=kafka, session_seconds=6.0, linger_ms=0)


@pytest.fixture(
    params=[
        pytest.param("real", marks=pytest.mark.kafka),
        pytest.param("tansu", marks=pytest.mark.embedded),
    ]
)
def any_broker(request: pytest.FixtureRequest) -> KafkaSettings:
    """A real Kafka, and again the embedded broker."""
    settings: KafkaSettings = request.getfixturevalue(request.param)
    return settings
