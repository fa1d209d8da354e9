"""A synthetic signals log, and ways to cut it: what fold contracts are tested on."""

from dataclasses import replace

import numpy as np

from models.engine import Engine
from models.fold import take
from schemas.settings import EngineSettings
from schemas.signals import (
    Cover,
    ExposureRows,
    InteractionRows,
    Kind,
    ProbeRows,
    RewardRows,
    SignalBlock,
)

SECTIONS = ("interactions", "exposures", "rewards", "probes")
N_ITEMS = 40


def make_log(events: int = 400, seed: int = 0, holdout: float = 0.1) -> SignalBlock:
    """One block of clicks, purchases, dislikes, exposures, rewards and probes of thirty people."""
    rng = np.random.default_rng(seed)
    history: dict[int, list[tuple[int, int]]] = {}
    seen: dict[str, list] = {s: [] for s in SECTIONS}
    ts = 1_700_000_000_000
    for offset in range(events):
        ts += int(rng.integers(1, 200_000))
        user, item = int(rng.integers(30)), int(rng.integers(N_ITEMS) * rng.random())
        arm = int(user < 30 * holdout)
        row = (offset, ts, user, item, arm)
        if rng.random() < 0.2:
            seen["exposures"].append(row)
            if rng.random() < 0.5:
                seen["rewards"].append(row)
            continue
        past = history.setdefault(user, [])
        seen["interactions"].append((*row, list(reversed(past[-50:]))))
        if rng.random() < 0.5:
            seen["probes"].append(row)
        past.append((item, ts))
    names = Engine(EngineSettings()).fusion
    return SignalBlock(
        cover=Cover(0, 0, -1, events - 1),
        items=tuple(f"item-{i}" for i in range(N_ITEMS)),
        interactions=_interactions(seen["interactions"], rng),
        exposures=_exposures(seen["exposures"], rng),
        rewards=_rewards(seen["rewards"], rng),
        probes=_probes(seen["probes"], rng, len(names.feature_names), len(names.columns) + 2),
        feature_names=names.feature_names,
        component_names=names.columns,
    )


def cut(block: SignalBlock, ends: list[int]) -> list[SignalBlock]:
    """The same rows in several blocks, cut after the given offsets."""
    pieces, after = [], -1
    for to in [*ends, block.cover.to]:
        parts = {}
        for name in SECTIONS:
            rows = getattr(block, name)
            parts[name] = take(rows, (rows.offset > after) & (rows.offset <= to))
        pieces.append(replace(_reworded(replace(block, **parts)), cover=Cover(0, 0, after, to)))
        after = to
    return pieces


def _reworded(block: SignalBlock) -> SignalBlock:
    """The same rows with a dictionary in another order."""
    n = len(block.items)
    order = np.arange(n)[::-1]
    back = np.argsort(order).astype(np.int32)
    parts = {}
    for name in SECTIONS:
        rows = getattr(block, name)
        columns = {c: back[getattr(rows, c)] for c in ("item", "ctx_item", "cand_item") if hasattr(rows, c)}
        parts[name] = replace(rows, **columns)
    return replace(block, items=tuple(block.items[i] for i in order), **parts)


def _columns(rows, *names):
    table = {
        n: np.array([r[k] for r in rows], np.int64)
        for k, n in enumerate(("offset", "ts", "user", "item", "arm"))
    }
    table |= {"user": table["user"].astype(np.uint64), "item": table["item"].astype(np.int32)}
    table["arm"] = table["arm"].astype(np.uint8)
    return {n: table[n] for n in ("offset", "ts", "user", "item", "arm")}


def _interactions(rows, rng):
    n = len(rows)
    contexts = [r[5] for r in rows]
    start = np.concatenate([[0], np.cumsum([len(c) for c in contexts])]).astype(np.int32)
    gaps = [(r[1] - then) / 1000.0 for r in rows for _, then in r[5]]
    weight = np.where(rng.random(n) < 0.1, -1.0, 1.0).astype(np.float32)
    return InteractionRows(
        **_columns(rows),
        kind=np.full(n, Kind.CLICK, np.uint8),
        weight=weight,
        repeat=np.array([r[3] in {i for i, _ in r[5]} for r in rows], np.uint8),
        age=np.array([len(c) for c in contexts], np.int32),
        ctx_start=start,
        ctx_item=np.array([i for c in contexts for i, _ in c], np.int32),
        ctx_gap=np.array(gaps, np.float32),
        ctx_kind=np.full(int(start[-1]), Kind.CLICK, np.uint8),
    )


def _exposures(rows, rng):
    n = len(rows)
    return ExposureRows(
        **_columns(rows),
        decision=np.arange(n, dtype=np.uint64),
        position=rng.integers(0, 10, n).astype(np.uint8),
        propensity=rng.random(n) * 0.9 + 0.05,
        p_control=np.full(n, 0.1),
        p_uniform=np.full(n, 0.1),
        epoch=np.zeros(n, np.int32),
        explored=np.zeros(n, np.uint8),
        pinned=np.zeros(n, np.uint8),
    )


def _rewards(rows, rng):
    n = len(rows)
    return RewardRows(
        **_columns(rows),
        decision=np.arange(n, dtype=np.uint64),
        position=rng.integers(0, 10, n).astype(np.uint8),
        propensity=np.full(n, 0.1),
        reward=np.where(rng.random(n) < 0.5, Kind.CLICK, Kind.PURCHASE).astype(np.uint8),
        amount=rng.random(n).astype(np.float32) * 10,
        lag=np.full(n, 3.0, np.float32),
        inferred=np.zeros(n, np.uint8),
        first=np.ones(n, np.uint8),
        epoch=np.zeros(n, np.int32),
    )


def _probes(rows, rng, n_features, n_ranks):
    n, width = len(rows), 8
    return ProbeRows(
        **_columns(rows),
        weight=np.ones(n, np.float32),
        target=rng.integers(-1, width, n).astype(np.int32),
        cand_start=np.arange(0, (n + 1) * width, width, dtype=np.int32),
        cand_item=rng.integers(0, N_ITEMS, n * width).astype(np.int32),
        features=rng.normal(size=(n * width, n_features)).astype(np.float32),
        ranks=rng.integers(0, 30, (n, n_ranks)).astype(np.int16),
        maturity=rng.integers(0, 6, n).astype(np.uint8),
        gap=rng.integers(0, 4, n).astype(np.uint8),
        overlap=np.where(rng.random((n, n_ranks - 1)) < 0.2, np.nan, rng.random((n, n_ranks - 1))).astype(
            np.float32
        ),
    )
