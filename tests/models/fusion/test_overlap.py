"""Rank-biased overlap against its definition, and what the engine makes of it."""

from collections.abc import Iterable
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.engine import Engine
from models.fusion.overlap import DEPTH, PERSISTENCE, overlaps
from models.fusion.scoreboard import HALF_LIFE, Scoreboard
from models.users.shard import UserShard
from schemas.snapshots import pack
from tests.contracts.logs import make_log
from tests.models.conftest import feed

LISTS = st.lists(st.permutations(range(1, 25)).map(lambda p: p[:12]), min_size=2, max_size=5)


def plain(a: list[int], b: list[int], p: float = PERSISTENCE) -> float:
    """Webber, Moffat and Zobel's equation 32, sets of prefixes and all."""
    short, long = sorted((a[:DEPTH], b[:DEPTH]), key=len)
    s, last = len(short), len(long)

    def shared(d: int) -> int:
        return len(set(short[:d]) & set(long[:d]))

    total = sum(shared(d) / d * p**d for d in range(1, last + 1))
    total += sum(shared(s) * (d - s) / (s * d) * p**d for d in range(s + 1, last + 1))
    return (1 - p) / p * total + ((shared(last) - shared(s)) / last + shared(s) / s) * p**last


def mean(values: Iterable[float]) -> float:
    """NaN of nothing."""
    found = list(values)
    return sum(found) / len(found) if found else float("nan")


@given(LISTS, st.lists(st.integers(0, 12), min_size=5, max_size=5), st.integers(0, 12), st.integers(1, 5))
def test_overlaps_follow_the_definition(
    lists: list[list[int]], lengths: list[int], fused_length: int, parties: int
) -> None:
    """Lists of any length, some empty, some of one party: means over the pairs that can be compared."""
    cut = [items[:n] for items, n in zip(lists, lengths, strict=False)]
    party = [c % parties for c in range(len(cut))]
    fused = lists[0][::-1][:fused_length]
    top = np.array([[items + [0] * (12 - len(items)) for items in cut]], np.int32)
    padded = np.array([fused + [0] * (12 - fused_length)], np.int32)
    found = overlaps(top, padded, np.array(party, np.int32))[0]
    for c, mine in enumerate(cut):
        others = [x for x, who in zip(cut, party, strict=True) if x and mine and who != party[c]]
        assert found[c] == pytest.approx(mean(plain(mine, x) for x in others), abs=1e-6, nan_ok=True)
    against = mean(plain(fused, x) for x in cut if x and fused)
    assert found[-1] == pytest.approx(against, abs=1e-6, nan_ok=True)


def test_extremes() -> None:
    """The same list: 1; nothing in common: 0; whoever agrees at the top agrees more."""
    a, b, c = range(1, 11), range(21, 31), [*range(1, 6), *range(31, 36)]
    d = [*range(31, 36), *range(1, 6)]

    def against_a(other) -> float:
        top = np.array([[list(a), list(other)]], np.int32)
        return float(overlaps(top, np.zeros((1, 1), np.int32), np.array([0, 1], np.int32))[0, 0])

    assert against_a(a) == pytest.approx(1.0)
    assert against_a(b) == 0.0
    assert 1.0 > against_a(c) > against_a(d) > 0.0


def test_probes_carry_overlaps_to_the_scoreboard(small_engine: tuple[Engine, UserShard]) -> None:
    """What probe rows say is what the scoreboard and the engine tell, of columns that had lists."""
    engine, shard = small_engine
    told = engine.live_overlaps()
    columns = engine.fusion.columns
    assert "content" not in told  # no item has a text
    assert set(told) == {*columns, "fused", "all"} - {"content"}
    assert all(0.0 < value <= 1.0 for value in told.values())
    feed(engine, shard, 40, seed=3)
    assert engine.live_overlaps() != told


def test_the_scoreboard_keeps_decayed_means() -> None:
    """Against a plain loop; another width changes nothing, NaN counts as not measured."""
    rows, board = make_log(), Scoreboard(("a", "b"))
    overlap = rows.probes.overlap[:, :3]
    keep, sums, weights = 0.5 ** (1 / HALF_LIFE), np.zeros(3), np.zeros(3)
    for row in overlap:
        seen = ~np.isnan(row)
        sums = np.where(seen, keep * sums + np.nan_to_num(row), sums)
        weights = np.where(seen, keep * weights + 1, weights)
    board.learn(replace(rows, probes=replace(rows.probes, overlap=overlap)))  # type: ignore[arg-type]
    told = board.overlaps()
    assert [told["a"], told["b"], told["fused"]] == pytest.approx((sums / weights).tolist())
    before = board.snapshot()
    board.learn(replace(rows, probes=replace(rows.probes, overlap=rows.probes.overlap[:, :0])))  # type: ignore[arg-type]
    assert board.snapshot() == before


def test_a_snapshot_of_an_older_build_has_no_overlaps() -> None:
    """It restores, and overlaps begin with the first probe that carries them."""
    board = Scoreboard(("a", "b"))
    arrays = {"recent": np.ones((4, 2)), "total": np.ones((4, 2)), "weight": np.ones(2)}
    board.restore(pack(board.name, board.VERSION, arrays))
    assert board.overlaps() == {}
    assert board.scores()["fused"]["NDCG@10"] == 1.0
