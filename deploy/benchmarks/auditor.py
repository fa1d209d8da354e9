"""How many rows of ``signals`` one core audits: decode, dedup, count, judge.

Against it stands the plainest thing that could give the same figures: decode each block and keep Python
sets of persons.
"""

from collections.abc import Callable, Sequence
from time import process_time

import numpy as np

from deploy.benchmarks.base import BenchArgs, BenchResult, Figure
from models.causal.synthetic import Truth, experiment
from models.causal.verdict import check
from schemas.settings import Settings
from schemas.signals import Kind, decode_block, encode_block
from streams.auditor import Books

OPTIONS = {"persons": 200_000, "persons_per_block": 500}
SHORT = 20
"""The short form has a twentieth of the people."""


def run(args: BenchArgs) -> BenchResult:
    """Audit one log from its bytes, several times."""
    persons = args.whole("persons") // (SHORT if args.short else 1)
    log = encoded(persons, args.whole("persons_per_block"))
    rows = sum(len(b.exposures) + len(b.rewards) for b in map(decode_block, log))
    audit(log[:1])  # compiles
    ours: list[float] = []
    plain: list[float] = []
    for _ in range(args.runs):
        ours.append(rows / seconds(audit, log))
        plain.append(rows / seconds(plainly, log))
    return BenchResult(
        bench="auditor",
        figures={
            "rows_per_core_second": Figure.of(ours),
            "ratio_to_plain": Figure.of([a / b for a, b in zip(ours, plain, strict=True)]),
            "rows": rows,
            "bytes_per_row": sum(map(len, log)) / rows,
            "bytes_per_person": snapshot_bytes(log) / persons,
        },
        against={"python sets": {"rows_per_core_second": Figure.of(plain)}},
    )


def encoded(persons: int, per_block: int) -> list[bytes]:
    """The bytes of a neutral experiment's log."""
    rng = np.random.default_rng(1)
    return [encode_block(b) for b in experiment(Truth(slots=10), persons, rng, per_block=per_block)]


def seconds(work: Callable[[Sequence[bytes]], object], log: Sequence[bytes]) -> float:
    """CPU time of one pass over the log."""
    started = process_time()
    work(log)
    return process_time() - started


def audit(log: Sequence[bytes]) -> Books:
    """What ``streamwise audit`` does with the log's records."""
    books = Books(Settings())
    for data in log:
        books.learn(decode_block(data))
    check(books.ledger, books.plan, len(log) - 1)
    return books


def plainly(log: Sequence[bytes]) -> tuple[int, ...]:
    """Persons and first clicks per arm, by sets."""
    exposed: tuple[set[int], set[int]] = (set(), set())
    clicked: tuple[set[int], set[int]] = (set(), set())
    for data in log:
        block = decode_block(data)
        for user, arm in zip(block.exposures.user.tolist(), block.exposures.arm.tolist(), strict=True):
            exposed[arm].add(user)
        rewards = block.rewards
        for user, arm, kind in zip(
            *(c.tolist() for c in (rewards.user, rewards.arm, rewards.reward)), strict=True
        ):
            if kind == Kind.CLICK and user in exposed[arm]:
                clicked[arm].add(user)
    return tuple(map(len, (*exposed, *clicked)))


def snapshot_bytes(log: Sequence[bytes]) -> int:
    """Size of the books at the end."""
    return len(audit(log).snapshot())
