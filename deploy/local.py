"""All roles on this machine for one's own data: on an embedded broker, or on one's own."""

import asyncio
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from tempfile import TemporaryDirectory

import msgspec

from deploy.demo import absent_roles
from deploy.embedded.broker import EmbeddedBroker
from deploy.embedded.compat import install
from deploy.process import free_port
from deploy.supervisor import Supervisor
from schemas.errors import UnavailableError
from schemas.settings import Settings
from streams.provision import provision

WATCH_SECONDS = 0.5


async def run(
    settings: Settings,
    directory: Path,
    stop: asyncio.Event,
    *,
    broker_port: int | None,
    say: Callable[[str], None],
) -> None:
    """Run every role until ``stop``.

    Parameters
    ----------
    broker_port
        Start an embedded broker there (0: on a free port); None: use the settings' broker.

    Raises
    ------
    UnavailableError
        A role ended by itself; the others are stopped then.
    """
    with ExitStack() as stack:
        broker = None
        if broker_port is not None:
            install()
            broker = stack.enter_context(EmbeddedBroker(broker_port))
            kafka = msgspec.structs.replace(settings.kafka, **broker.settings())
            settings = forgetful(msgspec.structs.replace(settings, kafka=kafka), stack)
        port = free_port(settings.api.port, host=settings.api.host)
        settings = msgspec.structs.replace(settings, api=msgspec.structs.replace(settings.api, port=port))
        children = stack.enter_context(Supervisor(directory, settings, broker))
        await provision(settings)
        start(children, settings, say)
        await _watch(children, stop, say)


def forgetful(settings: Settings, stack: ExitStack) -> Settings:
    """Snapshots and models beside a log in memory: all end with this run, or the next would miss its log."""
    folder = stack.enter_context(TemporaryDirectory(prefix="streamwise-"))
    replace = msgspec.structs.replace
    return replace(
        settings,
        learner=replace(settings.learner, directory=f"{folder}/snapshots", arena=f"{folder}/arena"),
        audit=replace(settings.audit, directory=f"{folder}/audit"),
    )


def start(children: Supervisor, settings: Settings, say: Callable[[str], None]) -> None:
    """Start every role that is installed and configured."""
    absent = absent_roles()
    say(f"broker: {settings.kafka.bootstrap}")
    say(f"settings, for other verbs: --settings {children.settings_file}")
    learn = ["learn"] if settings.learner.mode == "shared" else []
    roles = [*learn, "stream", "api", "encode", "audit", *(["view"] if settings.redis.url else [])]
    for role in roles:
        if role in absent:
            say(f"{role}: {absent[role]}")
        else:
            children.start(role)
    if "api" not in absent:
        say(f"live page: http://{settings.api.host}:{settings.api.port}/")


async def _watch(children: Supervisor, stop: asyncio.Event, say: Callable[[str], None]) -> None:
    while not stop.is_set():
        for role, why in children.revive().items():
            say(f"{role} started again: {why}")
        for role, why in children.ended().items():
            raise UnavailableError(f"{role} {why} (see {children.log(role)})")
        try:
            async with asyncio.timeout(WATCH_SECONDS):
                await stop.wait()
        except TimeoutError:  # look again
            continue
