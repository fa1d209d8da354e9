"""Transitions against the formula, computed naively from the whole history."""

import numpy as np

from models.components.base import Marks
from models.components.transitions import REACHES, WINDOW, Transitions
from models.fold import FoldLog
from tests.contracts.logs import make_log
from tests.contracts.test_components import queries


def naive(log, items):
    """Pair weights, out masses and counts by dictionaries."""
    x, slots = log.interactions, items.lookup_many(log.items)
    weight, out, count = {}, {}, {}
    for r in range(len(x)):
        t = int(slots[x.item[r]])
        if x.weight[r] <= 0:
            continue
        count[t] = count.get(t, 0.0) + x.weight[r]
        a, b = x.ctx_start[r], x.ctx_start[r + 1]
        for j in range(min(b - a, WINDOW)):
            s, gap = int(slots[x.ctx_item[a + j]]), float(x.ctx_gap[a + j])
            if s == t:
                continue
            for m, reach in enumerate(REACHES):
                if j >= reach.store_window:
                    continue
                near = reach.floor + (1 - reach.floor) * np.exp(-gap / reach.tau)
                for p, q, side in ((s, t, 1.0), (t, s, reach.back)):
                    w = side * float(x.weight[r]) * reach.store**j * near
                    weight[m, p, q] = weight.get((m, p, q), 0.0) + w
                    out[m, p] = out.get((m, p), 0.0) + w
    return weight, out, count


def test_scores_follow_the_formula():
    """Sparse, batched, incremental scores equal the naive sum for every reach, but for 16-bit weights."""
    log = make_log(300, seed=8, holdout=0.0)
    fold = FoldLog([Transitions()])
    fold.learn(log)
    weight, out, count = naive(log, fold.items)
    q = queries(slice(150, 160), Marks(), len(fold.items), fold.items)
    targets = np.arange(1, len(fold.items), dtype=np.int32)
    start = np.arange(0, 11 * len(targets), len(targets), dtype=np.int32)
    scores = fold.folds[0].scores(q, start, np.tile(targets, 10))
    for u in range(10):
        for m, reach in enumerate(REACHES):
            for n, t in enumerate(targets.tolist()):
                expected = 0.0
                for j in range(q.start[u], q.start[u + 1]):
                    d, s = j - q.start[u], int(q.item[j])
                    if d < min(WINDOW, reach.read_window):
                        near = reach.floor + (1 - reach.floor) * np.exp(-q.gap[j] / reach.tau)
                        pair = weight.get((m, s, t), 0.0) / np.sqrt(out.get((m, s), 0.0) + 5)
                        expected += reach.read**d * near * pair
                expected *= (count.get(t, 0.0) + 5) ** -0.2
                assert abs(scores[start[u] + n, m] - expected) <= 1e-4 + 5e-3 * expected


def test_shares_name_the_sources():
    """A target's contributions come from the recent items that it followed, and from no other."""
    log = make_log(300, seed=8, holdout=0.0)
    fold = FoldLog([Transitions()])
    fold.learn(log)
    transitions = fold.folds[0]
    source = 3
    ids, _ = transitions.neighbours(source)
    start, history = np.array([0, 2, 3], np.int32), np.array([source, 0, 0], np.int32)
    people, target = np.array([0, 1], np.int32), np.array([ids[0], ids[0]], np.int32)
    out = transitions.shares(start, history, np.zeros(3, np.float32), people, target)
    assert out.shape == (2, WINDOW)
    assert out[0, 0] > 0.0
    assert not out[0, 1:].any()
    assert not out[1].any()
