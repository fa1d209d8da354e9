"""A learner of its own process: event processes read its models, survive it, and never guess."""

import asyncio
import math
import os
import signal
import subprocess
import sys
from contextlib import AsyncExitStack, contextmanager
from pathlib import Path

import msgspec
import pytest

from deploy.health import Readiness
from deploy.kernels import Kernels
from deploy.readiness import of_stream
from deploy.supervisor import to_toml
from models.engine import Engine
from models.fold import Lent
from schemas.errors import SnapshotError
from schemas.settings import KafkaSettings, LearnerSettings, Settings
from schemas.signals import decode_block
from schemas.topics import Topic
from streams.app import create_app
from streams.arena import ArenaReader, ArenaWriter
from streams.guardrail import Guardrail
from streams.learner import Turn
from streams.observer import NullObserver
from streams.pace import Pace
from streams.provision import provision
from streams.shared import SharedModels
from tests.streams.clients.room import eventually as soon
from tests.streams.clients.room import read, write
from tests.streams.conftest import deployment_on
from tests.streams.test_worker import all_have_rows, ask, click, furnish, lists_of, worker

ROOT = Path(__file__).parents[2]
RUN = [sys.executable, "-m", "deploy.cli"]

pytestmark = pytest.mark.filterwarnings("ignore::ResourceWarning")


async def eventually(check):
    """As soon as it is true; a process takes its time to start on a starved machine."""
    return await soon(check, 150.0)


def shared(settings: Settings, place: Path, **more: float) -> Settings:
    learner = msgspec.structs.replace(
        settings.learner,
        mode="shared",
        arena=str(place),
        **({"publish_seconds": 0.1, "wait_seconds": 0.0} | more),
    )
    return msgspec.structs.replace(settings, learner=learner)


def patient(settings: Settings) -> Settings:
    """The same with time enough for whole lists."""
    lists = msgspec.structs.replace(settings.lists, deadline_ms=60_000.0)
    return msgspec.structs.replace(settings, lists=lists)


def learn(settings: Settings, folder: Path) -> subprocess.Popen[str]:
    """``streamwise learn`` as people start it."""
    (folder / "settings.toml").write_text(to_toml(msgspec.to_builtins(settings)))
    return subprocess.Popen(
        [*RUN, "learn", "--settings", str(folder / "settings.toml")],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stderr=subprocess.PIPE,
        text=True,
    )


@contextmanager
def ended(process: subprocess.Popen[str]):
    """Nothing of it is left after the block."""
    try:
        yield process
    finally:
        process.kill()
        if process.stderr is not None and not process.stderr.closed:
            print(process.communicate()[1])


async def fresh_fold(settings: Settings) -> Engine:
    """All of the signals log, by an engine that knows nothing of processes."""
    engine = Engine.of(settings)
    for record in await read(settings.kafka, Topic.SIGNALS):
        engine.learn(decode_block(record.value))
    return engine


@pytest.mark.kafka
@pytest.mark.slow
@pytest.mark.timeout(400)
async def test_lists_go_on_while_the_learner_is_dead_and_it_misses_nothing(kafka, tmp_path):
    """Two workers start before it, read it, outlive it, and end with the very state of a fold of the log."""
    broker = KafkaSettings(bootstrap=kafka, session_seconds=6.0)
    settings = patient(shared(deployment_on(broker, tmp_path), tmp_path / "arena", max_lag_seconds=300.0))
    await provision(settings)
    await furnish(settings)
    async with AsyncExitStack() as stack:
        apps = [await stack.enter_async_context(worker(settings)) for _ in range(2)]
        models = [app.runtime.models for app in apps]
        assert all("no models published yet" in m.why() for m in models)
        await write(settings.kafka, Topic.REQUESTS, [ask("u1", 0)])
        await eventually(lambda: answered(settings, "q0"))

        async def caught_up() -> bool:
            end = len(await read(settings.kafka, Topic.SIGNALS))
            return all(m.next_offset == end for m in models) and all(m.why() is None for m in models)

        with ended(learn(settings, tmp_path)) as learner:
            await write(
                settings.kafka, Topic.CLICKS, [click(f"u{n % 7}", f"i{n % 12}", n) for n in range(90)]
            )
            await eventually(lambda: all_have_rows(settings, 90))
            await eventually(caught_up)
            learner.send_signal(signal.SIGKILL)
            learner.wait()
        frozen = [app.runtime.engine.model for app in apps]
        assert frozen == ["r90"] * 2
        await write(
            settings.kafka, Topic.CLICKS, [click(f"u{n % 7}", f"i{n % 9}", n) for n in range(90, 150)]
        )
        await eventually(lambda: all_have_rows(settings, 150))
        await write(settings.kafka, Topic.REQUESTS, [ask("u2", 1)])
        await eventually(lambda: answered(settings, "q1"))
        made = {one.trigger_id: one for one in await lists_of(settings)}["q1"]
        assert (made.rung, made.model, len(made.items)) == ("full", "r90", 3)
        assert [app.runtime.engine.model for app in apps] == frozen
        with ended(learn(settings, tmp_path)):
            await eventually(caught_up)
            expected = (await fresh_fold(settings)).snapshot()
            assert all(app.runtime.engine.snapshot() == expected for app in apps)
            assert {app.runtime.engine.model for app in apps} == {"r150"}


async def answered(settings: Settings, request: str) -> bool:
    return request in {one.trigger_id for one in await lists_of(settings)}


async def test_a_second_learner_is_refused_and_the_first_ends_well(deployment, tmp_path):
    """One sentence with the process id of the first; SIGTERM leaves a snapshot."""
    settings = shared(deployment, tmp_path / "arena")
    await write(settings.kafka, Topic.CLICKS, [click("u1", f"i{n % 5}", n) for n in range(20)])
    async with worker(settings) as app:
        with ended(learn(settings, tmp_path)) as first:
            await eventually(lambda: app.runtime.engine.model == "r20")
            with ended(learn(settings, tmp_path)) as second:
                _, said = await asyncio.to_thread(second.communicate)
            assert second.returncode == 1
            assert f"process {first.pid} is its learner" in said
            first.terminate()
            _, said = await asyncio.to_thread(first.communicate)
            assert first.returncode == 0, said
    assert snapshots(settings)


async def test_a_shared_worker_neither_tails_nor_writes_snapshots(deployment, tmp_path):
    """That is the learner's; its engine would refuse to learn."""
    settings = shared(deployment, tmp_path / "arena")
    with ArenaWriter(tmp_path / "arena", settings.kafka.namespace, lambda: 0) as arena:
        arena.publish(Engine.of(settings).lend(), 0, 0)
        async with worker(settings) as app:
            assert isinstance(app.runtime.learner, SharedModels)
            with pytest.raises(RuntimeError, match="learn there"):
                app.runtime.engine.learn(decode_block((await some_block(settings)).value))
    assert not snapshots(settings)


def snapshots(settings: Settings) -> list[Path]:
    return list(Path(settings.learner.directory).glob("*.snapshot"))


async def some_block(settings: Settings):
    await write(settings.kafka, Topic.CLICKS, [click("u1", "i1", 1)])

    async def there() -> bool:
        return bool(await read(settings.kafka, Topic.SIGNALS))

    await eventually(there)
    return (await read(settings.kafka, Topic.SIGNALS))[0]


def test_readiness_waits_for_models_before_anything_has_started(tmp_path):
    """Why a worker is not ready is said from its first second."""
    settings = shared(Settings(), tmp_path)
    app = create_app(settings, Engine.of(settings))
    said: Readiness = of_stream(app, Kernels()).readiness()
    assert "no models published yet" in said.checks["learner"]
    assert said.checks["partitions"] == "starting"


class Borrower:
    """An engine that takes everything, or nothing."""

    def __init__(self) -> None:
        self.wrong = ""
        self.taken: list[Lent] = []

    def adopt(self, lent: Lent) -> None:
        if self.wrong:
            raise SnapshotError(self.wrong)
        self.taken.append(lent)


def models_in(place: Path, engine: Borrower, clock) -> SharedModels:
    settings = LearnerSettings(max_lag_seconds=5.0, wait_seconds=0.0)
    reader = ArenaReader(place, "shop")
    return SharedModels(engine, Turn(), Pace(), reader, settings, NullObserver(), clock)


def nothing(rows: int) -> Lent:
    return Lent({}, {"rows": rows})


def test_models_that_are_refused_are_named_once_and_the_last_ones_serve(tmp_path, caplog):
    """A version for other settings changes nothing; the next good one clears the reason."""
    engine = Borrower()
    models = models_in(tmp_path, engine, lambda: 0)
    with ArenaWriter(tmp_path, "shop", lambda: 0) as arena:
        arena.publish(nothing(1), 1, 1)
        models.look()
        assert models.why() is None
        engine.wrong = "engine.factors = 64: learned with 32"
        arena.publish(nothing(2), 2, 2)
        models.look()
        assert models.why() == engine.wrong
        assert models.next_offset == 1
        arena.beat(2)
        models.look()
        assert models.why() == engine.wrong
        assert len(caplog.messages) == 1
        engine.wrong = ""
        arena.publish(nothing(3), 3, 3)
        models.look()
    assert models.why() is None
    assert [lent.values["rows"] for lent in engine.taken] == [1, 3]


def test_a_silent_learner_means_the_safe_policy(tmp_path):
    """Models are trusted while their learner is heard of and close to the log's end, whatever their age."""

    class Policy:
        trusted = True

        def trust(self, trusted: bool) -> None:
            self.trusted = trusted

    policy, now = Policy(), [1_000_000]
    guardrail = Guardrail(policy, limit_seconds=5.0)
    models = models_in(tmp_path, Borrower(), lambda: now[0])

    def look(at: float) -> bool:
        models.look()
        guardrail.look(at, models.next_offset + models.lag, models.next_offset, models.silent)
        return policy.trusted

    assert not look(0.0)
    assert models.silent == math.inf
    with ArenaWriter(tmp_path, "shop", lambda: now[0]) as arena:
        arena.publish(nothing(1), 4, 4)
        assert look(1.0)
        now[0] += 60_000
        arena.beat(4)
        assert look(61.0)
        assert models.age == 60.0
        arena.beat(9)
        assert look(62.0)
        assert not look(70.0)
        arena.publish(nothing(1), 9, 9)
        assert look(71.0)
    now[0] += 60_000
    again = models_in(tmp_path, Borrower(), lambda: now[0])
    again.look()
    assert again.silent > 50
    assert "silent" in str(again.why())
