"""Other engines' lists, for comparison in the same run; each is None where its package is not installed."""

import time
from importlib.util import find_spec

import numpy as np

BATCHES = 8
FACTORS = 64
ACTIONS, SLOTS, FEATURES = 100, 10, 20


def bare(items: int, batch: int) -> float:
    """Lists per CPU-second, of all threads: the ten best by one 64-factor model, one product a batch."""
    rng = np.random.default_rng(0)
    model = rng.standard_normal((items, FACTORS), np.float32)
    people = rng.standard_normal((batch, FACTORS), np.float32)
    begun = time.process_time()
    for _ in range(BATCHES):
        scores = people @ model.T
        best = np.argpartition(-scores, 10, axis=1)[:, :10]
        np.take_along_axis(best, np.argsort(-np.take_along_axis(scores, best, 1), axis=1), 1)
    return BATCHES * batch / (time.process_time() - begun)


def implicit(items: int) -> float | None:
    """Lists per CPU-second of ``implicit``'s top ten by one 64-factor model, batches of 32, one thread."""
    if find_spec("implicit") is None:
        return None
    from implicit.cpu.als import AlternatingLeastSquares  # noqa: PLC0415

    rng = np.random.default_rng(0)
    model = AlternatingLeastSquares(factors=FACTORS, num_threads=1)
    model.item_factors = rng.standard_normal((items, FACTORS)).astype(np.float32)
    model.user_factors = rng.standard_normal((32, FACTORS)).astype(np.float32)
    begun = time.process_time()
    for _ in range(BATCHES):
        model.recommend(np.arange(32), None, N=10, filter_already_liked_items=False)
    return 32 * BATCHES / (time.process_time() - begun)


def vowpalwabbit() -> float | None:
    """Lists per CPU-second of VowpalWabbit's CCB: ten slots from 100 actions of 20 features."""
    if find_spec("vowpalwabbit") is None:
        return None
    from vowpalwabbit import Workspace  # noqa: PLC0415

    rng = np.random.default_rng(0)
    workspace = Workspace("--ccb_explore_adf --epsilon 0.1 --quiet -b 18")
    actions = [f"ccb action |A {_features('f', rng)}" for _ in range(ACTIONS)]
    slots = [f"ccb slot |S p{n}" for n in range(SLOTS)]
    examples = [[f"ccb shared |U {_features('u', rng)}", *actions, *slots] for _ in range(20)]
    begun = time.process_time()
    for example in examples:
        workspace.predict(example)
    spent = time.process_time() - begun
    workspace.finish()
    return len(examples) / spent


def _features(name: str, rng: np.random.Generator) -> str:
    return " ".join(f"{name}{n}:{value:.3f}" for n, value in enumerate(rng.random(FEATURES)))
