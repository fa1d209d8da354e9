"""The experiment's books: additive statistics of one experiment as a fold over ``signals``.

Everything the periodic checks need is a count of persons or a sum over rows, so ledgers of disjoint
people merge by adding, replays change nothing (rows below the high-water never reach a fold), and rows
of a former policy epoch do not count.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from models.causal.ope import WeightSums
from models.causal.persons import CLICKED, HELD, LIMIT, MIXED, PRESENT, PURCHASED, Persons, find
from models.fold import Rows
from models.jit import kernel
from schemas.control import PolicySwitch
from schemas.signals import Arm, ExposureRows, Float64, Int32, Int64, Kind, RewardRows, UInt8, UInt64
from schemas.snapshots import checksum, pack, unpack

METRICS = {Kind.CLICK: "click", Kind.PURCHASE: "purchase"}
TARGETS = ("control", "uniform")


@dataclass(frozen=True, slots=True)
class Tally:
    """Treatment against holdout, of one kind of reward.

    Attributes
    ----------
    persons
        Exposed persons (treatment, holdout).
    firsts
        Those of them who converted since.
    rewards
        All rewards that count, not only the first.
    inferred
        Rewards that were joined to a decision by inference.
    mixed
        Persons seen in both arms.
    """

    persons: tuple[int, int]
    firsts: tuple[int, int]
    rewards: tuple[int, int]
    inferred: tuple[int, int]
    mixed: int


class Ledger:
    """Fold of one experiment's exposures and rewards, holdout included.

    Parameters
    ----------
    experiment
        Whose policy switches are obeyed.
    limit
        Persons followed exactly (see ``models.causal.persons``).

    Attributes
    ----------
    epoch, policy
        The policy epoch in force, and whether it serves ``"treatment"`` or ``"safe"``.
    last_ts
        Latest event time among counted rows, ms: the clock of the checks.

    Notes
    -----
    A switch to ``"safe"`` ends the experiment: its figures stay as they were when it was decided.  A
    switch back to ``"treatment"`` starts over with nobody exposed.  One experiment runs at a time: what
    stands before another experiment's switch was that one's, and is forgotten.

    A click counts if it names one of our lists.  A purchase counts whoever got the credit for it, or
    nobody: what an exposed person buys is the outcome, and joining it to lists by inference would favour
    the arm whose lists guess best what people do anyway.
    """

    name = "causal-ledger"
    VERSION = 1

    def __init__(self, experiment: str, limit: int = LIMIT) -> None:
        self.experiment = experiment
        self.epoch = 0
        self.policy = "treatment"
        self.reason = ""
        self.last_ts = 0
        self.persons = Persons(limit)
        self._clear()

    def _clear(self) -> None:
        self.persons.clear()
        self.shown: Int64 = np.zeros(2, np.int64)
        self.rewards: Int64 = np.zeros((2, 2), np.int64)
        self.inferred: Int64 = np.zeros((2, 2), np.int64)
        self.weights: Float64 = np.zeros((len(TARGETS), 4), np.float64)

    def learn(self, rows: Rows) -> None:
        """Count rows of the epoch in force, in events order; then obey switches."""
        if self.policy == "treatment":
            self._count(rows.exposures, rows.rewards)
        for control in rows.controls:
            if isinstance(control, PolicySwitch):
                self._switch(control)

    def _count(self, exposures: ExposureRows, rewards: RewardRows) -> None:
        people = self.persons
        people.reserve(len(exposures))
        last = _walk(
            self.epoch,
            np.uint64(people.thinned),
            (exposures.user, exposures.offset, exposures.ts, exposures.epoch, exposures.arm),
            (exposures.position, exposures.pinned),
            (exposures.propensity, exposures.p_control, exposures.p_uniform),
            (rewards.user, rewards.offset, rewards.ts, rewards.epoch, rewards.arm),
            (rewards.reward, rewards.inferred),
            (people.keys, people.flags),
            (people.exposed, people.firsts, people.mixed),
            (self.shown, self.rewards, self.inferred),
            self.weights,
        )
        self.last_ts = max(self.last_ts, int(last))
        people.thin()

    def _switch(self, control: PolicySwitch) -> None:
        if control.experiment != self.experiment:
            self._clear()
            return
        if control.from_epoch != self.epoch:
            return
        self.epoch, self.policy, self.reason = control.to_epoch, control.policy, control.reason
        if control.policy == "treatment":
            self._clear()

    def tally(self, kind: Kind) -> Tally:
        """Counts of one kind of reward.

        Raises
        ------
        KeyError
            For a kind that is no metric.
        """
        k = {Kind.CLICK: 0, Kind.PURCHASE: 1}[kind]
        people = self.persons
        return Tally(
            persons=_pair(people.exposed),
            firsts=_pair(people.firsts[k]),
            rewards=_pair(self.rewards[k]),
            inferred=_pair(self.inferred[k]),
            mixed=int(people.mixed[0]),
        )

    def first_slots(self, target: int) -> WeightSums:
        """Weights of ``TARGETS[target]`` over the first slots of the treatment's lists, without rewards."""
        n, w, w2, top = self.weights[target].tolist()
        return WeightSums(n=int(n), w=w, w2=w2, max_w=top)

    def merge(self, other: "Ledger") -> None:
        """Add the books of other people of the same experiment and epoch.

        Raises
        ------
        ValueError
            For another experiment, or another state of it.
        """
        mine, theirs = (
            (self.experiment, self.epoch, self.policy),
            (other.experiment, other.epoch, other.policy),
        )
        if mine != theirs:
            raise ValueError(f"only books of one experiment and epoch add up: {mine} and {theirs}")
        self.persons.load(*other.persons.content())
        for name in ("shown", "rewards", "inferred"):
            getattr(self, name)[...] += getattr(other, name)
        self.weights[:, :3] += other.weights[:, :3]
        np.maximum(self.weights[:, 3], other.weights[:, 3], out=self.weights[:, 3])
        self.last_ts = max(self.last_ts, other.last_ts)

    def snapshot(self) -> bytes:
        """Persons in the order of their hashes, counts and sums."""
        keys, flags = self.persons.content()
        arrays: dict[str, npt.NDArray[Any]] = {
            "keys": keys,
            "flags": flags,
            "shown": self.shown,
            "rewards": self.rewards,
            "inferred": self.inferred,
            "weights": self.weights,
        }
        meta = {
            "experiment": self.experiment,
            "epoch": self.epoch,
            "policy": self.policy,
            "reason": self.reason,
            "last_ts": self.last_ts,
            "thinned": self.persons.thinned,
        }
        return pack(self.name, self.VERSION, arrays, meta)

    def restore(self, data: bytes) -> None:
        """Become what ``snapshot`` wrote; books of another experiment are not taken over.

        Raises
        ------
        SnapshotError
            Damaged, or of another version; the state is then unchanged.
        """
        arrays, meta = unpack(data, self.name, self.VERSION)
        if meta["experiment"] != self.experiment:
            return
        self.persons.clear()
        self.persons.thinned = meta["thinned"]
        self.persons.load(arrays["keys"], arrays["flags"])
        self.shown, self.rewards = arrays["shown"], arrays["rewards"]
        self.inferred, self.weights = arrays["inferred"], arrays["weights"]
        self.epoch, self.policy, self.reason = meta["epoch"], meta["policy"], meta["reason"]
        self.last_ts = meta["last_ts"]

    def checksum(self) -> int:
        """64 bits of the state."""
        return checksum(self.snapshot())


def _pair(counts: Int64) -> tuple[int, int]:
    return int(counts[Arm.TREATMENT]), int(counts[Arm.HOLDOUT])


Who = tuple[UInt64, Int64, Int64, Int32, UInt8]
"""Columns user, offset, ts, epoch, arm."""
Table = tuple[UInt64, UInt8]
Counts = tuple[Int64, Int64, Int64]


@kernel
def _walk(
    epoch: int,
    thinned: np.uint64,
    shown: Who,
    slots: tuple[UInt8, UInt8],
    probabilities: tuple[Float64, Float64, Float64],
    brought: Who,
    kinds: tuple[UInt8, UInt8],
    table: Table,
    people: Counts,
    counts: Counts,
    weights: Float64,
) -> int:
    """Exposures and rewards in the order of their events; returns the latest counted time."""
    last, a, b = 0, 0, 0
    while a < len(shown[0]) or b < len(brought[0]):
        if b == len(brought[0]) or (a < len(shown[0]) and shown[1][a] <= brought[1][b]):
            if shown[3][a] == epoch:
                last = max(last, shown[2][a])
                counts[0][shown[4][a]] += 1
                _expose(table, people, thinned, shown[0][a], shown[4][a])
                if shown[4][a] == 0 and slots[0][a] == 0 and slots[1][a] == 0:
                    _weigh(weights[0], probabilities[1][a] / probabilities[0][a])
                    _weigh(weights[1], probabilities[2][a] / probabilities[0][a])
            a += 1
        else:
            kind, guessed, of_epoch = kinds[0][b] - 1, kinds[1][b] != 0, brought[3][b] == epoch
            if kind in (0, 1) and of_epoch and guessed:
                counts[2][kind, brought[4][b]] += 1
            if (kind == 0 and of_epoch and not guessed) or (kind == 1 and (of_epoch or brought[3][b] == -1)):
                last = max(last, brought[2][b])
                counts[1][kind, brought[4][b]] += 1
                _credit(table, people, brought[0][b], kind)
            b += 1
    return last


@kernel
def _expose(table: Table, people: Counts, thinned: np.uint64, user: np.uint64, arm: int) -> None:
    if thinned > 0 and user >> (np.uint64(64) - thinned) != 0:
        return
    slot = find(table[0], table[1], user)
    held = HELD if arm == 1 else 0
    if table[1][slot] == 0:
        table[0][slot] = user
        table[1][slot] = PRESENT | held
        people[0][arm] += 1
    elif (table[1][slot] & HELD) != held and not table[1][slot] & MIXED:
        table[1][slot] |= MIXED
        people[2][0] += 1


@kernel
def _credit(table: Table, people: Counts, user: np.uint64, kind: int) -> None:
    """A first conversion, if the person was exposed; it belongs to the arm of the first exposure."""
    slot = find(table[0], table[1], user)
    mark = CLICKED if kind == 0 else PURCHASED
    if table[1][slot] != 0 and not table[1][slot] & mark:
        table[1][slot] |= mark
        people[1][kind, 1 if table[1][slot] & HELD else 0] += 1


@kernel
def _weigh(sums: Float64, weight: float) -> None:
    sums[0] += 1
    sums[1] += weight
    sums[2] += weight * weight
    sums[3] = max(sums[3], weight)
