"""Asking brokers that do not answer."""

import pytest
from aiokafka.errors import KafkaConnectionError, ProducerFenced

from schemas.errors import UnavailableError
from streams.kafka import connect, patiently


class Client:
    """Fails to start as often as told, with what it is told."""

    def __init__(self, *errors):
        self.errors, self.attempts = list(errors), 0

    async def start(self):
        self.attempts += 1
        if self.errors:
            raise self.errors.pop(0)

    async def stop(self):
        pass


async def test_a_connection_that_breaks_is_made_again():
    """Two fail; the third stands."""
    client = Client(KafkaConnectionError(), KafkaConnectionError())
    await patiently(lambda: connect(client))
    assert client.attempts == 3


@pytest.mark.parametrize(
    ("error", "seconds"),
    [
        pytest.param(ProducerFenced(), 60.0, id="fenced: the other is in the right"),
        pytest.param(KafkaConnectionError(), 0.0, id="the time is over"),
    ],
)
async def test_what_is_not_tried_again(error, seconds):
    """It is raised at once, with its cause."""
    client = Client(error, error)
    with pytest.raises(UnavailableError) as told:
        await patiently(lambda: connect(client), seconds=seconds)
    assert client.attempts == 1
    assert told.value.__cause__ is error
