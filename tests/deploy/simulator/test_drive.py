"""The shop reads what others may write to as well: a record that is none of its own changes nothing."""

from types import SimpleNamespace

import msgspec
import pytest

from deploy.simulator.drive import Drive
from deploy.simulator.households import Households
from schemas.settings import KafkaSettings
from schemas.topics import Topic
from tests.deploy.simulator.test_shop import answer, shop


@pytest.mark.parametrize("topic", [Topic.RECOMMENDATIONS, Topic.CAUSAL_REPORTS])
@pytest.mark.parametrize("junk", [None, b"", b"garbage", b"{}", b"[" * 100_000, b"\xff\xfe"])
def test_junk_does_not_close_the_shop(households: Households, topic: Topic, junk: bytes | None) -> None:
    drive = Drive(KafkaSettings(), shop(households))
    drive._take(SimpleNamespace(topic=topic.value, value=junk), 0.0)
    assert not drive.answered.is_set()
    assert not drive.verdicts
    good = msgspec.json.encode(answer("t", "1"))
    drive._take(SimpleNamespace(topic=Topic.RECOMMENDATIONS.value, value=good), 0.0)
    assert drive.answered.is_set()
