"""The latest list straight from the topic, for whoever has no Redis."""

import pytest

from schemas.errors import UnavailableError
from schemas.settings import KafkaSettings
from schemas.topics import Topic
from streams.tail import latest_list
from tests.streams.clients.lists import made, record
from tests.streams.clients.room import furnish, write


async def test_the_newest_list_of_a_surface_is_found(any_broker):
    """Among other people's lists, other surfaces, an older list behind it and garbage."""
    kafka = await furnish(any_broker)
    lists = [
        record("u1", 9),
        record("u2", 30),
        record("u1", 20, first="new"),
        record("u1", 25, surface="mail"),
    ]
    await write(kafka, Topic.RECOMMENDATIONS, [*lists, (b"u1", b"garbage"), (b"u1", None), record("u1", 10)])
    assert await latest_list(kafka, "u1") == made("u1", 20, first="new")
    assert await latest_list(kafka, "u1", "mail") == made("u1", 25, surface="mail")


async def test_who_has_no_list_gets_none(any_broker):
    """An empty topic, and a topic of others."""
    kafka = await furnish(any_broker)
    assert await latest_list(kafka, "u1") is None
    await write(kafka, Topic.RECOMMENDATIONS, [record("u2", 1)])
    assert await latest_list(kafka, "u1") is None


async def test_an_old_list_is_found_behind_many_others(any_broker):
    """The search goes further back when the end of the topic does not hold the person."""
    kafka = await furnish(any_broker)
    await write(
        kafka, Topic.RECOMMENDATIONS, [record("u1", 1), *(record(f"v{i % 40}", i + 2) for i in range(4000))]
    )
    assert await latest_list(kafka, "u1") == made("u1", 1)


async def test_a_missing_topic_has_no_lists(any_broker):
    """Before anything was provisioned."""
    assert (
        await latest_list(KafkaSettings(**{**_fields(any_broker), "namespace": "never-made"}), "u1") is None
    )


async def test_no_broker_is_an_error_that_says_so(unused_tcp_port):
    """Nothing listens: UnavailableError names the address."""
    with pytest.raises(UnavailableError, match=f"127.0.0.1:{unused_tcp_port}"):
        await latest_list(KafkaSettings(bootstrap=f"127.0.0.1:{unused_tcp_port}"), "u1")


def _fields(settings):
    return {name: getattr(settings, name) for name in settings.__struct_fields__}
