"""``streamwise encode`` as people run it: its own process, the real model, a real broker."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import msgspec
import numpy as np
import pytest
import redis

from schemas.catalogue import Item
from schemas.embeddings import Embedding
from schemas.topics import Topic
from tests.streams.clients.conftest import any_broker, real, tansu  # noqa: F401  fixtures
from tests.streams.clients.room import eventually, furnish, latest, read, write

pytestmark = [pytest.mark.encoder, pytest.mark.redis, pytest.mark.slow]

TITLES = {
    "sencha": "Japanese sencha green tea",
    "matcha": "Matcha green tea powder",
    "hammer": "Claw hammer, steel",
}


async def test_the_process_encodes_items_and_ends_well(any_broker, redis_url):  # noqa: F811
    """Three MiniLM vectors in which the teas are near, cached in Redis; SIGTERM ends it with its counts."""
    kafka = await furnish(any_broker)
    await write(
        kafka,
        Topic.ITEMS,
        [(k.encode(), msgspec.json.encode(Item(item_id=k, title=t))) for k, t in TITLES.items()],
    )
    settings = {
        **{
            f"KAFKA__{n.upper()}": str(getattr(kafka, n))
            for n in ("bootstrap", "namespace", "dialect", "session_seconds")
        },
        # A machine that is held up for a moment is no outage: by default what falls into one is not cached.
        "REDIS__URL": f"{redis_url}?socket_timeout=30&socket_connect_timeout=30",
    }
    environment = {**os.environ, **{f"STREAMWISE_{name}": value for name, value in settings.items()}}
    program = Path(sys.executable).with_name("streamwise")
    with subprocess.Popen(  # noqa: ASYNC220  starting takes a millisecond
        [program, "encode", "--json"], env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        try:

            async def published() -> bool:
                assert process.poll() is None, process.stderr.read().decode()
                return len(latest(await read(kafka, Topic.EMBEDDINGS))) == len(TITLES)

            await eventually(published, seconds=90)
            process.send_signal(signal.SIGTERM)
            out, err = process.communicate(timeout=60)
        finally:
            process.kill()
    assert process.returncode == 0, err.decode()
    printed = json.loads(out)
    assert (printed["embeddings"], printed["refused_items"], printed["model"]) == (3, 0, "minilm")
    vectors = {
        key.decode(): msgspec.json.decode(value, type=Embedding)
        for key, value in latest(await read(kafka, Topic.EMBEDDINGS)).items()
    }
    assert {vector.version for vector in vectors.values()} == {printed["version"]}
    sencha, matcha, hammer = (vectors[name].array() for name in ("sencha", "matcha", "hammer"))
    np.testing.assert_allclose(np.linalg.norm(sencha), 1, atol=1e-3)
    assert sencha @ matcha > sencha @ hammer + 0.3
    with redis.Redis.from_url(redis_url) as client:
        assert len(client.keys(f"encoder:minilm:{printed['version']}:*")) == 3
