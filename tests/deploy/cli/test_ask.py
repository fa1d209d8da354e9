"""``recommend`` and ``why``: from Redis, from the topic, and what they say when there is nothing."""

import asyncio
import json

import pytest
import redis

from deploy.cli.main import run
from schemas.topics import Topic
from streams.view import list_key
from tests.streams.clients.conftest import any_broker, real, tansu  # noqa: F401  fixtures
from tests.streams.clients.lists import made, record
from tests.streams.clients.room import furnish, write


@pytest.fixture
def space(any_broker, monkeypatch):  # noqa: F811
    """A namespace with lists, named in the environment."""
    kafka = asyncio.run(_prepare(any_broker))
    for name in ("bootstrap", "namespace", "dialect"):
        monkeypatch.setenv(f"STREAMWISE_KAFKA__{name.upper()}", getattr(kafka, name))
    return kafka


async def _prepare(settings):
    kafka = await furnish(settings)
    await write(
        kafka, Topic.RECOMMENDATIONS, [record("u1", 5, first="old"), record("u1", 9), record("u2", 7)]
    )
    return kafka


def test_recommend_prints_the_latest_list(space, capsys):
    """As a table with item, score, probability and parts; as JSON the message itself."""
    assert run(["recommend", "u1"]) == 0
    table = capsys.readouterr().out
    for shown in ("tea", "pot", "0.75", "transitions +1.20", "d-u1-9", "read from topic"):
        assert shown in table
    assert run(["recommend", "u1", "--json"]) == 0
    printed = json.loads(capsys.readouterr().out)
    assert printed["decision_id"] == made("u1", 9).decision_id
    assert printed["items"][0]["propensity"] == 0.75


def test_why_prints_the_parts_of_one_item(space, capsys):
    """The named parts, their sum, the past items that spoke for it, and the probabilities."""
    assert run(["why", "u1", "tea"]) == 0
    table = capsys.readouterr().out
    for shown in ("transitions", "1.2", "score (their sum)", "1.5", "cup", "0.75", "treatment"):
        assert shown in table
    assert run(["why", "u1", "pot", "--json"]) == 0
    printed = json.loads(capsys.readouterr().out)
    assert (printed["chosen"], printed["probability"], printed["item"]["item_id"]) == (
        "explored",
        0.125,
        "pot",
    )


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["recommend", "nobody"], "error: user: 'nobody': no list for the surface 'home' is known"),
        (
            ["recommend", "u1", "--surface", "mail"],
            "error: user: 'u1': no list for the surface 'mail' is known",
        ),
        (["why", "nobody", "tea"], "error: user: 'nobody': no list"),
        (["why", "u1", "kettle"], "error: item: 'kettle': is not in the latest list, which holds tea, pot"),
    ],
)
def test_what_is_not_known_is_said(space, capsys, arguments, message):
    """Exit code 2 and a sentence that names field, value and remedy; no traceback, nothing on stdout."""
    assert run(arguments) == 2
    out, err = capsys.readouterr()
    assert err.startswith(message)
    assert (out, err.count("\n")) == ("", 1)


@pytest.mark.redis
def test_redis_is_asked_first(space, redis_url, monkeypatch, capsys):
    """Where Redis holds a list it is the answer; for whom it holds none, the topic is."""
    monkeypatch.setenv("STREAMWISE_REDIS__URL", redis_url)
    with redis.Redis.from_url(redis_url) as client:
        client.hset(list_key(space.namespace, "home", "u1"), "list", record("u1", 99)[1])
    assert run(["recommend", "u1"]) == 0
    assert "read from redis" in capsys.readouterr().out
    assert run(["recommend", "u2"]) == 0
    assert "read from topic" in capsys.readouterr().out


def test_a_redis_that_is_away_is_replaced_by_the_topic(space, monkeypatch, capsys, unused_tcp_port):
    """With a warning on stderr; the secret in the address is not shown."""
    monkeypatch.setenv("STREAMWISE_REDIS__URL", f"redis://:hush@127.0.0.1:{unused_tcp_port}/0")
    assert run(["recommend", "u1"]) == 0
    out, err = capsys.readouterr()
    assert "read from topic" in out
    assert err.startswith("warning: redis.url: ConnectionError")
    assert "hush" not in out + err


def test_no_broker_is_a_sentence(monkeypatch, capsys, unused_tcp_port):
    """Exit code 1, one line."""
    monkeypatch.setenv("STREAMWISE_KAFKA__BOOTSTRAP", f"127.0.0.1:{unused_tcp_port}")
    assert run(["recommend", "u1"]) == 1
    err = capsys.readouterr().err
    assert err.startswith("error: ")
    assert "Traceback" not in err


def test_the_view_needs_a_redis(capsys):
    """Without one there is nothing to keep: the error names the setting."""
    assert run(["view"]) == 2
    assert capsys.readouterr().err.startswith("error: redis.url: '': the view needs a Redis")
