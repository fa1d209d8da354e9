"""The event process: intake and user agents as a Faust app, with the learner inside or its models mapped.

``create_app`` builds an app, ``serve`` runs one until it is told to stop or something in it fails.
There is no module-level app, and nothing here reads the environment.
"""

import asyncio
import logging
from collections.abc import Callable, Iterable
from pathlib import Path
from threading import Lock
from time import monotonic, time_ns
from typing import Any, Literal

import faust
from mode import CrashingSupervisor

from schemas.errors import UnavailableError
from schemas.heartbeats import Heartbeat
from schemas.ladder import Cause, Rung
from schemas.settings import KafkaSettings, Settings
from schemas.topics import Topic, topic_name
from streams.arena import ArenaReader, directory
from streams.catalogue import Catalogue
from streams.clock import BrokerClock
from streams.crash import CrashPoint
from streams.deadletters import DeadLetters
from streams.fetches import gathering_seconds
from streams.guardrail import Guardrail
from streams.heart import Heart
from streams.incarnations import Incarnations, check_group, open_group
from streams.intake import Intake, Router
from streams.kafka import connect, idempotent_producer
from streams.ladder import WHOLE, Ladder
from streams.ladder import Step as LadderStep
from streams.learner import Learner, Snapshots, Turn
from streams.lists import Lists
from streams.observer import NullObserver, StreamObserver
from streams.overload import Overload
from streams.pace import Pace
from streams.partition import Tools
from streams.popular import Popular, path_of
from streams.ports import EngineLike
from streams.shared import SharedModels
from streams.signals import SignalsTail, SignalsWriter
from streams.stall import CHECKPOINTS, Place, Stalls
from streams.tasks import Tasks, closed, unless
from streams.transport import BatchApp, BatchSchema
from streams.triggers import TriggerQueue
from streams.users import Users
from streams.writer import LogWriter

log = logging.getLogger(__name__)

RUNS_AHEAD = 8
RUN_LENGTH = 2000
DRAIN_SECONDS = 20.0

Clock = Callable[[], int]
Role = Literal["intake", "users", "learn"]
ALL_ROLES: frozenset[Role] = frozenset({"intake", "users", "learn"})


def wall_clock() -> int:
    """Milliseconds since the epoch."""
    return time_ns() // 1_000_000


class Runtime:
    """Everything of an event process that is not Faust: made when the app starts."""

    def __init__(
        self,
        settings: Settings,
        engine: EngineLike,
        *,
        observer: StreamObserver,
        clock: Clock,
        crash: CrashPoint,
        roles: frozenset[Role],
    ) -> None:
        self.settings = settings
        self.roles = roles
        self.engine = engine
        engine.share(Lock())
        self.observer = observer
        self.clock = BrokerClock(clock)
        self.crash = crash
        self.turn = Turn()
        self.pace = Pace()
        self.incarnations: Incarnations = {}
        limit = max(settings.health.stuck_seconds, CHECKPOINTS * settings.users.checkpoint_seconds)
        self.stalls = Stalls(limit, observer)
        self.router = Router(settings, self.incarnations)
        self.overload = Overload(observer)
        self.ladder = Ladder(self.overload, self._known)
        self.guardrail: Guardrail | None = None
        path = path_of(settings.learner.directory, settings.kafka.namespace)
        self.popular = Popular(path, engine, self.turn, self.pace, self.clock)
        self.started = self.draining = False
        self.writers: list[LogWriter] = []
        self.producer: Any = None
        self.cancel_check: Callable[[], None] = lambda: None
        self.models: SharedModels | None = None
        if settings.learner.mode == "shared" and "learn" in roles:
            reader = ArenaReader(directory(settings), settings.kafka.namespace)
            self.models = SharedModels(
                engine, self.turn, self.pace, reader, settings.learner, observer, clock
            )

    async def start(self) -> None:
        """Check the logs, open the producer, restore the learner, start the tasks."""
        self.failed: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.tasks = Tasks(self._fail)
        kafka = self.settings.kafka
        self.producer = idempotent_producer(kafka)
        self._make_writers(kafka)
        self._make_agents()
        self.incarnations.update(await open_group(self.settings, self.topics))
        await connect(self.producer)
        if self.settings.health.heartbeat_seconds:
            await self.heart.beat(Heartbeat(0, self.clock()))  # what time is it?
        self.learner = await self._make_learner()
        self.catalogue = Catalogue(kafka, self.engine, self.turn, self.pace, lambda: self.overload.vectors)
        if "users" in self.roles:
            deadline = self.settings.lists.deadline_ms
            looks = self.overload.run(lambda: self.queue.waited(self.clock(), deadline), deadline / 1000)
            self.tasks.start(self.catalogue.run(), self.lists.run(), looks)
        if "learn" in self.roles:
            self._start_learning()
        self.started = True

    def _start_learning(self) -> None:
        learner = self.settings.learner
        self.guardrail = Guardrail(self.engine.policy, limit_seconds=learner.max_lag_seconds)
        if self.learner.next_offset == 0:
            self.popular.stand_in()
        keep = self.popular.keep(self.learner, learner.snapshot_seconds)
        self.tasks.start(self.learner.run(), self.guardrail.run(self.learner, monotonic), keep)

    def _known(self) -> LadderStep:
        """The best rung that the models allow."""
        if self.popular.stands_in:
            return Rung.GLOBAL, Cause.MODELS
        if self.guardrail is not None and not self.guardrail.trusted:
            return Rung.GLOBAL, Cause.LEARNER
        return WHOLE

    def gather_seconds(self) -> float:
        """How long a fetch gathers now."""
        waiting = self.overload.pressure * self.settings.lists.deadline_ms / 1000
        return gathering_seconds(self.settings.kafka.gather_ms / 1000, waiting)

    def watch_progress(self, committed: Callable[[], dict[Place, int]]) -> None:
        """Notice partitions that stand still: what the group has committed, and what was learned."""
        signals = topic_name(Topic.SIGNALS, self.settings.kafka.namespace), 0

        def positions() -> dict[Place, int]:
            inline = "learn" in self.roles and self.models is None
            learned = {signals: self.learner.next_offset} if inline else {}
            return committed() | learned

        self.tasks.start(self.stalls.watch(self.settings.kafka, positions))

    def check_logs(self, assigned: Iterable[Any]) -> None:
        """Look whether the logs of these partitions are those that were read before; if not, end."""
        if self.settings.kafka.dialect == "tansu":  # its topics end with it
            return
        self.cancel_check()
        self.cancel_check = self.tasks.start(check_group(self.settings, self.topics, list(assigned)))

    @property
    def topics(self) -> list[str]:
        """What the roles of this process read as a group."""
        events = self.settings.kafka.topic(Topic.EVENTS)
        intake = self.router.topics if "intake" in self.roles else []
        return [*intake, events] if "users" in self.roles else intake

    def _make_writers(self, kafka: KafkaSettings) -> None:
        def writer(topic: Topic) -> LogWriter:
            made = LogWriter(self.producer, kafka.topic(topic))
            self.writers.append(made)
            return made

        self.events = writer(Topic.EVENTS)
        self.recommendations = writer(Topic.RECOMMENDATIONS)
        self.state = writer(Topic.STATE)
        self.signals = SignalsWriter(writer(Topic.SIGNALS))
        self.heart = Heart(self.producer, topic_name(Topic.REQUESTS, kafka.namespace), self.clock)
        self.letters = DeadLetters(writer(Topic.DEAD_LETTERS))

    def _make_agents(self) -> None:
        settings = self.settings
        self.intake = Intake(
            self.router, self.events, self.letters, self.tasks, observer=self.observer, crash=self.crash
        )
        self.users = Users(self._tools, self.tasks)
        self.queue = TriggerQueue(
            settings.lists.max_pending,
            self.users.closed,
            self.observer,
            sheds=lambda push: self.overload.sheds(push.waited(self.clock(), settings.lists.deadline_ms)),
        )
        self.lists = Lists(
            self.engine,
            self.turn,
            self.queue,
            settings.lists,
            ladder=self.ladder,
            overload=self.overload,
            events=self.events,
            recommendations=self.recommendations,
            make_request=self.users.request,
            still_ours=self.users.holds,
            on_published=self.users.published,
            tasks=self.tasks,
            pace=self.pace,
            observer=self.observer,
            clock=self.clock,
            crash=self.crash,
        )

    async def _make_learner(self) -> Learner | SharedModels:
        kafka, learner = self.settings.kafka, self.settings.learner
        if self.models is not None:
            await self.models.first()
            return self.models
        snapshots = Snapshots(Path(learner.directory), kafka.namespace)
        offset, self.refused_snapshots = snapshots.newest(self.engine)
        for reason in self.refused_snapshots:
            log.warning("snapshot not used, more of the log is read instead: %s", reason)
        tail = SignalsTail(kafka, offset)
        return Learner(self.engine, self.turn, tail, snapshots, learner, self.observer)

    def _tools(self) -> Tools:
        return Tools(
            settings=self.settings,
            engine=self.engine,
            turn=self.turn,
            events=self.events,
            state=self.state,
            signals=self.signals,
            letters=self.letters,
            queue=self.queue,
            beat=self.heart.beat,
            publish=self.lists.publish,
            pace=self.pace,
            observer=self.observer,
            clock=self.clock,
            crash=self.crash,
        )

    def _fail(self, error: BaseException) -> None:
        if not self.failed.done():
            self.failed.set_exception(error)

    async def drain(self, commit: Callable[[], Any]) -> None:
        """Take nothing new, let everything taken land, checkpoint, and commit."""
        self.draining = True
        await self.intake.drained()
        await self.lists.drained()
        await self.users.checkpoint()
        await commit()

    async def close(self) -> None:
        """End the tasks and the clients."""
        if self.producer is None:  # told to end before the start
            return
        await self.users.close()
        await self.tasks.cancel()
        self.pace.close()
        for writer in self.writers:
            await writer.stop()
        await closed(self.producer.stop())


class StreamApp(BatchApp):
    """A Faust app with its runtime."""

    runtime: Runtime

    async def on_start(self) -> None:
        """Everything of ours first: agents find it running."""
        await self.runtime.start()
        await super().on_start()
        self.runtime.watch_progress(self.committed)


def create_app(
    settings: Settings,
    engine: EngineLike,
    *,
    observer: StreamObserver | None = None,
    clock: Clock = wall_clock,
    crash: CrashPoint | None = None,
    roles: frozenset[Role] = ALL_ROLES,
) -> StreamApp:
    """An event process: intake, user state and lists, inline learner.

    Parameters
    ----------
    engine
        ``models.engine.Engine``.
    observer
        Told what happens; None: nobody is.
    clock
        Milliseconds since the epoch, read once: see ``streams.clock``.
    crash
        Where to die, for fault tests.
    roles
        What this process does; all of them by default.
    """
    runtime = Runtime(
        settings,
        engine,
        observer=observer or NullObserver(),
        clock=clock,
        crash=crash or CrashPoint(),
        roles=roles,
    )
    app = StreamApp(**faust_options(settings.kafka))
    app.runtime = runtime
    app.fetch_wait_ms = settings.kafka.fetch_wait_ms
    if not settings.kafka.fetch_wait_ms:
        app.gather_seconds = runtime.gather_seconds
    app.incarnations = runtime.incarnations
    _add_agents(app, runtime)
    _follow_assignments(app, runtime, settings.kafka.topic(Topic.EVENTS))
    return app


def faust_options(kafka: KafkaSettings) -> dict[str, Any]:
    """Faust's settings: what is measured to work, and nothing on that we do not use."""
    options: dict[str, Any] = {
        "id": kafka.group,
        "broker": ";".join(f"kafka://{host}" for host in kafka.bootstrap.split(",")),
        "broker_session_timeout": kafka.session_seconds,
        "broker_heartbeat_interval": kafka.session_seconds / 6,
        "broker_commit_interval": 0.5,
        "broker_request_timeout": max(40.0, kafka.session_seconds + 5.0),
        "consumer_auto_offset_reset": "none",
        "consumer_max_fetch_size": 4 << 20,
        "stream_wait_empty": False,
        "table_standby_replicas": 1,
        "topic_allow_declare": False,
        "topic_disable_leader": True,
        "web_enabled": False,
    }
    if kafka.instance:
        options["consumer_group_instance_id"] = kafka.instance
    if kafka.username:
        options["broker_credentials"] = faust.SASLCredentials(
            username=kafka.username, password=kafka.password or "", mechanism="SCRAM-SHA-512"
        )
    return options


def _add_agents(app: StreamApp, runtime: Runtime) -> None:
    def source(*names: str) -> Any:
        return app.topic(*names, schema=BatchSchema(max_records=RUN_LENGTH), maxsize=RUNS_AHEAD)

    def agent(name: Role, *topics: str) -> Any:
        return app.agent(source(*topics), name=name, supervisor_strategy=CrashingSupervisor)

    if "intake" in runtime.roles:

        @agent("intake", *runtime.router.topics)  # type: ignore[untyped-decorator]
        async def intake(stream: Any) -> None:
            async for event in _runs(stream, runtime):
                await runtime.intake.take(event.value, _acknowledgement(app, event))

    if "users" in runtime.roles:

        @agent("users", runtime.settings.kafka.topic(Topic.EVENTS))  # type: ignore[untyped-decorator]
        async def users(stream: Any) -> None:
            async for event in _runs(stream, runtime):
                acknowledge = _acknowledgement(app, event)
                await runtime.users.take(event.value, event.message.generation_id, acknowledge)


async def _runs(stream: Any, runtime: Runtime) -> Any:
    """Events of a stream; a failure of whoever consumes them fells the worker."""
    try:
        async for event in stream.noack().events():
            if runtime.draining:
                await asyncio.Event().wait()
            yield event
    except Exception as error:
        runtime.tasks.fail(error)
        raise


def _acknowledgement(app: StreamApp, event: Any) -> Callable[[], None]:
    """How to acknowledge a run; one of a former generation belongs to somebody else."""
    message = event.message
    message.value = None  # held until the checkpoint, but not its records

    def acknowledge() -> None:
        if message.generation_id == app.generation:
            message.ack(app.consumer)

    return acknowledge


def _follow_assignments(app: StreamApp, runtime: Runtime, events: str) -> None:
    @app.on_partitions_revoked.connect(weak=False)  # type: ignore[untyped-decorator]
    async def revoked(_app: Any, revoked: Any, **_rest: Any) -> None:  # noqa: ARG001  Faust's signature
        runtime.users.release()

    @app.on_partitions_assigned.connect(weak=False)  # type: ignore[untyped-decorator]
    async def assigned(_app: Any, assigned: Any, **_rest: Any) -> None:
        runtime.users.assign(sorted(tp.partition for tp in assigned if tp.topic == events), app.generation)
        runtime.check_logs(assigned)


async def serve(app: StreamApp, stop: asyncio.Event, started: Callable[[], None] | None = None) -> None:
    """Run an app until ``stop`` is set; then drain it.

    Raises
    ------
    Exception
        Whatever failed in it: the process should end and be started again.
    """
    app.finalize()
    runtime = app.runtime
    begun = False
    try:
        begun = await unless(stop, app.start())
    finally:
        if not begun:
            await app.stop()
            await runtime.close()
    if not begun:
        return
    ends: list[asyncio.Future[Any]] = [
        asyncio.ensure_future(stop.wait()),
        asyncio.ensure_future(app.until_crashed()),
        runtime.failed,
    ]
    try:
        if started is not None:
            started()
        await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
        if stop.is_set() and not runtime.failed.done():
            await _drain(app)
    finally:
        for end in ends[:2]:
            end.cancel()
        await app.stop()
        await runtime.close()
    if runtime.failed.done():
        runtime.failed.result()
    if app.crashed:
        raise app.crash_reason or RuntimeError("the stream app crashed")


async def _drain(app: StreamApp) -> None:
    """Drain in time, or say that it was not: a failure meanwhile ends it."""
    failed = app.runtime.failed
    draining = asyncio.ensure_future(app.runtime.drain(app.commit_now))
    try:
        await asyncio.wait([draining, failed], timeout=DRAIN_SECONDS, return_when=asyncio.FIRST_COMPLETED)
        if draining.done():
            draining.result()
        elif not failed.done():
            raise UnavailableError(
                f"told to end, and not drained within {DRAIN_SECONDS:.0f} s: the broker is too slow or away; "
                "nothing is lost: what is not committed comes again"
            )
    finally:
        draining.cancel()
        await asyncio.gather(draining, return_exceptions=True)
