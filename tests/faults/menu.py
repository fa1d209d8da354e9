"""Every fault of workers, brokers, network and producers that a random schedule chooses from."""

import asyncio
import signal
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from schemas.settings import KafkaSettings
from streams.crash import Step
from tests.faults.cluster import Cluster, Led, Partition, led
from tests.faults.keeper import ENDED, KILLED, Keeper
from tests.faults.load import Generator
from tests.faults.worker import Worker
from tests.streams.clients.room import eventually

SESSION_SECONDS = 6.0
STEP_SECONDS = 45.0
FOLLOW_SECONDS = 90.0
"""Until every replica has what its leader has, after a broker came back; and for an election."""
FELL = 1
"""Exit status of a worker that gives up and says why."""
SHAKEN = ("broker", "network", "worker: SIGSTOP")
"""Faults (names begin so) after which a worker may still fall by itself, whatever it is told meanwhile."""


@dataclass
class Stage:
    """What is broken: a fleet on a cluster, under a load.

    Attributes
    ----------
    told
        Workers that ended in another way than they should have; empty when nothing is wrong.
    missed
        Faults that did not happen: a step that a worker did not come to, rare ones in a random schedule,
        and a drain of one that was still loading its modules.
    before
        Name of the fault before.
    """

    cluster: Cluster
    keeper: Keeper
    guests: list[Worker]
    generator: Generator
    producer: Any
    random: np.random.Generator
    told: list[str] = field(default_factory=list)
    missed: list[str] = field(default_factory=list)
    before: str = ""

    async def end(self, worker: Worker) -> None:
        """SIGTERM: it drains, and ends with status 0."""
        status = await asyncio.to_thread(worker.stop)
        if status == -signal.SIGTERM and not worker.was_ready:
            self.missed.append("SIGTERM came before the worker could hear it")
        else:
            self.judge_end(worker, "SIGTERM", status, ENDED)

    def judge_end(self, worker: Worker, what: str, status: int, due: int) -> None:
        """Tell of a status that is not due, unless it is a fall that the fault before explains."""
        if status == FELL and self.before.startswith(SHAKEN):
            self.keeper.note_fall(worker)
        elif status != due:
            self.told.append(f"{what}: status {status} instead of {due}\n{worker.said(10)}")

    @property
    def worker(self) -> Worker:
        """One that runs, at random."""
        running = [w for w in self.keeper.kept if w.runs]
        return running[int(self.random.integers(len(running)))] if running else self.keeper.kept[0]

    @property
    def broker(self) -> int:
        """One at random."""
        return int(self.random.choice(list(self.cluster.numbers)))


Fault = Callable[[Stage], Awaitable[None]]


async def kill_worker(stage: Stage) -> None:
    """SIGKILL; whoever runs it starts it again."""
    if (worker := stage.worker).runs:
        worker.kill()


async def end_worker(stage: Stage) -> None:
    """SIGTERM: it drains."""
    worker = stage.worker
    async with stage.keeper.leave_alone(worker):
        if worker.runs:
            await stage.end(worker)


async def zombie(stage: Stage) -> None:
    """SIGSTOP until its session is over, then on."""
    if (worker := stage.worker).runs:
        worker.pause()
        await asyncio.sleep(SESSION_SECONDS + float(stage.random.uniform(1, 4)))
        worker.resume()


def crash_at(step: Step) -> Fault:
    """SIGKILL in the middle of a step."""

    async def crash(stage: Stage) -> None:
        worker = stage.worker
        async with stage.keeper.leave_alone(worker):
            if worker.runs:
                worker.kill()
            worker.start(f"{step}:{stage.random.integers(1, 3)}")
            status = await asyncio.to_thread(worker.wait, STEP_SECONDS)
            if status is None:
                stage.missed.append(f"{step} was not passed within {STEP_SECONDS:.0f} s")
                worker.kill()
            else:
                stage.judge_end(worker, f"SIGKILL at {step}", status, KILLED)

    return crash


async def fewer_and_more(stage: Stage) -> None:
    """3 → 2 → 1 → 2 → 3 workers."""
    gone = stage.keeper.kept[1:]
    async with stage.keeper.leave_alone(*gone):
        for worker in gone:
            if worker.runs:
                await stage.end(worker)
            await asyncio.sleep(3)
        for worker in gone:
            worker.start()
            await asyncio.sleep(5)


async def storm(stage: Stage) -> None:
    """A guest joins or leaves every three seconds, for thirty."""
    for n in range(10):
        guest = stage.guests[n % 2]
        if guest.runs:
            guest.kill() if stage.random.random() < 0.5 else await stage.end(guest)
        else:
            guest.start()
        await asyncio.sleep(3)
    for guest in stage.guests:
        if guest.runs:
            await stage.end(guest)


async def kill_broker(stage: Stage) -> None:
    """SIGKILL; it comes back."""
    broker = stage.broker
    await asyncio.to_thread(stage.cluster.kill, broker)
    await asyncio.sleep(float(stage.random.uniform(2, 8)))
    await asyncio.to_thread(stage.cluster.restart, broker)


def pause_broker(seconds: float) -> Fault:
    """SIGSTOP for so long."""

    async def pause(stage: Stage) -> None:
        broker = stage.broker
        await asyncio.to_thread(stage.cluster.pause, broker)
        await asyncio.sleep(seconds)
        await asyncio.to_thread(stage.cluster.resume, broker)

    return pause


async def change_leaders(stage: Stage) -> None:
    """Every partition back to its preferred leader; a broker is restarted first where no other one leads."""
    kafka = stage.generator.settings.kafka
    if not (strayed := await astray(kafka)):
        await asyncio.to_thread(stage.cluster.restart, stage.broker)
        strayed = await astray(kafka)
    assert strayed, "a broker was restarted, and every partition has its preferred leader: nothing can move"

    async def in_sync() -> bool:
        return all(len(one.in_sync) == len(one.replicas) for one in (await led(kafka)).values())

    async def moved() -> bool:
        after = await led(kafka)
        return all(after[place].leader == one.replicas[0] for place, one in strayed.items())

    await eventually(in_sync, FOLLOW_SECONDS)  # others cannot be elected
    await asyncio.to_thread(stage.cluster.prefer_leaders)
    await eventually(moved, FOLLOW_SECONDS)


async def astray(kafka: KafkaSettings) -> dict[Partition, Led]:
    """Those of our own partitions that are not led by the broker that they prefer."""
    return {
        place: one
        for place, one in (await led(kafka)).items()
        if place[0].startswith(f"{kafka.namespace}.") and one.leader != one.replicas[0]
    }


async def roll_brokers(stage: Stage) -> None:
    """All restarted, one after the other."""
    for broker in stage.cluster.numbers:
        await asyncio.to_thread(stage.cluster.restart, broker)


async def restart_brokers(stage: Stage) -> None:
    """All restarted at once."""
    await asyncio.to_thread(stage.cluster.restart_all)


async def latency(stage: Stage) -> None:
    """100 ms each way between workers and brokers."""
    for proxy in stage.cluster.proxies.values():
        proxy.delay = 0.1
    await asyncio.sleep(15)
    heal(stage)


def blackhole(seconds: float) -> Fault:
    """Nothing comes through between workers and brokers."""

    async def swallow(stage: Stage) -> None:
        for proxy in stage.cluster.proxies.values():
            proxy.swallow()
        await asyncio.sleep(seconds)
        heal(stage)

    return swallow


async def resets(stage: Stage) -> None:
    """Every connection of the workers is reset, five times."""
    for _ in range(5):
        for proxy in stage.cluster.proxies.values():
            proxy.reset()
        await asyncio.sleep(float(stage.random.uniform(0.2, 2)))


async def replay(stage: Stage) -> None:
    """The newest thousand messages once more."""
    await stage.generator.replay(stage.producer)


def heal(stage: Stage) -> None:
    """The network is well again."""
    for proxy in stage.cluster.proxies.values():
        proxy.heal()


MENU: dict[str, Fault] = {
    "worker: SIGKILL": kill_worker,
    "worker: SIGTERM": end_worker,
    "worker: SIGSTOP past its session": zombie,
    "workers: 3, 2, 1, 2, 3": fewer_and_more,
    "workers: one joins or leaves every 3 s": storm,
    "broker: SIGKILL": kill_broker,
    "broker: SIGSTOP for 5 s": pause_broker(5),
    "broker: SIGSTOP for 15 s": pause_broker(15),
    "brokers: leaders change": change_leaders,
    "brokers: restarted one by one": roll_brokers,
    "brokers: restarted at once": restart_brokers,
    "network: 100 ms": latency,
    "network: blackhole for 4 s": blackhole(4),
    "network: blackhole for 20 s": blackhole(20),
    "network: resets": resets,
    "producer: 1,000 messages replayed": replay,
    **{f"worker: SIGKILL at {step}": crash_at(step) for step in Step},
}
