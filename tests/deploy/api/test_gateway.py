"""The way into ``events``: what nobody would read is not taken."""

import asyncio
from collections.abc import Callable
from time import monotonic

import msgspec
import pytest

from deploy.api.context import ApiContext
from deploy.api.gateway import Gateway
from schemas.errors import UnavailableError
from schemas.events import Click
from schemas.settings import KafkaSettings
from schemas.topics import Topic
from streams.kafka import admin
from streams.layout import Layout, write_layout
from streams.provision import create, provision, wanted

PATIENCE_SECONDS = 60.0


async def until(gateway: Gateway, words: str | None) -> None:
    """Wait until readiness says so; None: until it is ready."""
    end = monotonic() + PATIENCE_SECONDS
    while monotonic() < end:
        said = gateway.ready()
        if said is None if words is None else words in (said or ""):
            return
        await asyncio.sleep(0.1)
    pytest.fail(f"the gateway says {gateway.ready()!r}, not {words!r}")


async def written(gateway: Gateway, event: Click) -> None:
    """Write, again for a while if the broker, new to the topics, does not take it in time."""
    end = monotonic() + PATIENCE_SECONDS
    while True:
        try:
            return await gateway.write([event])
        except UnavailableError:
            if monotonic() > end:
                raise
        await asyncio.sleep(0.2)


@pytest.mark.kafka
async def test_a_deployment_that_moves_away_takes_the_gateway_along(
    kafka: str, make_context: Callable[..., ApiContext], tmp_path_factory: pytest.TempPathFactory
) -> None:
    """An event that is acknowledged into topics that were replaced would be read by nobody."""
    name = tmp_path_factory.mktemp("moving").parent.name + "-moving"
    bare = make_context()
    broker = KafkaSettings(bootstrap=kafka, namespace=name, group=name)
    settings = msgspec.structs.replace(bare.settings, kafka=broker)
    await provision(settings)
    gateway = Gateway(bare.view, broker, bare.gateway._rungs)
    event = Click(event_id="e1", user_id="u1", ts=bare.clock(), item_id="i1")
    running = asyncio.create_task(gateway.run())
    try:
        await until(gateway, None)
        await written(gateway, event)
        later = msgspec.structs.replace(settings, kafka=msgspec.structs.replace(broker, generation=2))
        async with admin(broker) as client:
            for topic, spec in wanted(later):
                if spec.topic is Topic.STATE:
                    await create(client, topic, spec, later)
        await write_layout(later.kafka, Layout("ready", 4))
        await until(gateway, "this deployment was repartitioned")
        with pytest.raises(UnavailableError, match="repartitioned"):
            await gateway.write([event])
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
