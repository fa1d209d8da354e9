"""Asking brokers that do not answer, or that say so where the client does not look."""

import pytest
from aiokafka.consumer.group_coordinator import GroupCoordinator
from aiokafka.errors import (
    GroupCoordinatorNotAvailableError,
    GroupLoadInProgressError,
    KafkaConnectionError,
    NotCoordinatorForGroupError,
    ProducerFenced,
)
from aiokafka.protocol.commit import OffsetFetchResponse_v3
from aiokafka.structs import TopicPartition

from schemas.errors import UnavailableError
from streams.kafka import connect, patiently, tell_moved


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


class Coordinator:
    """Answers with what it is told; the rest is aiokafka's own."""

    group_id, _retry_backoff_ms = "shop", 1
    fetch_committed_offsets = GroupCoordinator.fetch_committed_offsets
    _do_fetch_commit_offsets = GroupCoordinator._do_fetch_commit_offsets

    def __init__(self, *answers):
        self.answers, self.lost = list(answers), 0

    async def _send_req(self, _request):
        return self.answers.pop(0)

    async def ensure_coordinator_known(self):
        pass

    def coordinator_dead(self):
        self.lost += 1


CLICKS = TopicPartition("clicks", 0)


@pytest.mark.parametrize(
    ("error", "lost"),
    [(NotCoordinatorForGroupError, 1), (GroupCoordinatorNotAvailableError, 1), (GroupLoadInProgressError, 0)],
)
async def test_a_coordinator_that_moves_is_no_group_without_offsets(error, lost):
    """It says so for the group and names no topics: asked again (where it is now), it tells the offset."""
    answers = [
        OffsetFetchResponse_v3(0, [], error.errno),
        OffsetFetchResponse_v3(0, [("clicks", [(0, 70, "", 0)])], 0),
    ]
    stock = Coordinator(*answers)
    assert await stock.fetch_committed_offsets([CLICKS]) == {}  # the defect that ours is not
    ours = Coordinator(*answers)
    tell_moved(ours)
    assert (await ours.fetch_committed_offsets([CLICKS]))[CLICKS].offset == 70
    assert ours.lost == lost
