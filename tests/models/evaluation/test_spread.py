"""Coverage, novelty and ILD against their definitions, item by item."""

import math
from collections import Counter
from itertools import combinations

import numpy as np
import pytest

from models.evaluation.spread import Spread


def test_against_a_plain_computation():
    """Random lists over a growing stream, with short lists, empty lists and items without categories."""
    rng = np.random.default_rng(5)
    categories = {f"i{n}": frozenset(f"c{c}" for c in rng.integers(0, 6, n % 4)) for n in range(30)}
    categories = {item: found for item, found in categories.items() if found}
    spread, count = Spread(categories), Counter()
    shown, novelty, distance, lists = set(), 0.0, 0.0, 0
    for total in range(200):
        size = int(rng.integers(0, 11))
        top = [f"i{n}" for n in rng.permutation(30)[:size]]
        spread.add({"fused": top})
        shown |= set(top)
        if top:
            novelty += sum(-math.log2((count[i] + 1) / (total + 1)) for i in top) / len(top)
        if lists % 7 == 0 and len(top) > 1:
            pairs = [
                jaccard(categories.get(a, set()), categories.get(b, set())) for a, b in combinations(top, 2)
            ]
            distance += sum(pairs) / len(pairs)
        lists += 1
        item = f"i{int(rng.zipf(1.6)) % 30}"
        spread.learn(item)
        count[item] += 1
    expected = {
        "coverage@10": len(shown) / len(count),
        "novelty@10": novelty / lists,
        "ILD@10": 7 * distance / lists,
    }
    assert spread.summary("fused") == pytest.approx(expected)


def jaccard(a, b):
    """Distance of two sets of categories; 1 for two empty ones."""
    return 1 - len(a & b) / len(a | b) if a | b else 1.0


def test_without_categories_there_is_no_distance():
    """None says "not measured", which 0 would not."""
    spread = Spread({})
    spread.add({"fused": ["a", "b"]})
    assert spread.summary("fused")["ILD@10"] is None
    assert Spread({}).summary("nobody") == {"coverage@10": 0.0, "novelty@10": 0.0, "ILD@10": None}
