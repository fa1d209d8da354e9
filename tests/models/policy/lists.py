"""Scored lists and requests for policy tests, small and made up."""

from dataclasses import dataclass, replace

import numpy as np

from models.experiments import Experiment
from models.fusion.scored import ScoredLists
from models.interning import Interner
from models.policy.rules import Rules, Shelf
from models.policy.view import PolicyView
from schemas.settings import PolicySettings

NAMES = ("popularity", "transitions", "content")


@dataclass(frozen=True)
class Ask:
    """A request."""

    user_id: str
    trigger_id: str
    k: int = 5
    surface: str = "home"
    event_ts: int = 1_000
    special: bool = False


def asks(n: int, k: int = 5, surface: str = "home") -> list[Ask]:
    """As many requests, by as many people."""
    return [Ask(f"user-{i}", f"trigger-{i}", k, surface) for i in range(n)]


def catalogue(size: int) -> Interner:
    """Items ``item-1`` … in slots 1 …"""
    return Interner(f"item-{i}" for i in range(1, size))


def scored(n: int, candidates: int, *, size: int = 0, seed: int = 0) -> ScoredLists:
    """``n`` lists of distinct random candidates among ``size`` items."""
    rng = np.random.default_rng(seed)
    size = size or candidates + 1
    slot = np.concatenate([rng.permutation(size - 1)[:candidates] + 1 for _ in range(n)] or [np.zeros(0)])
    return of_parts(n, slot, rng.normal(size=(n * candidates, len(NAMES))), rng.normal(size=n * candidates))


def of_parts(n: int, slot, parts, control=None) -> ScoredLists:
    """Equally long lists of given candidates."""
    parts = np.asarray(parts, np.float64)
    utility = np.zeros(len(slot))
    for column in parts.T:
        utility += column
    return ScoredLists(
        list_start=(np.arange(n + 1) * (len(slot) // max(n, 1))).astype(np.int32),
        slot=np.asarray(slot, np.int32),
        utility=utility,
        parts=parts,
        part_names=NAMES[: parts.shape[1]],
        control=np.zeros(len(slot)) if control is None else np.asarray(control, np.float64),
    )


def view(rules: dict[str, Rules] | None = None, holdout: float = 0.0, **settings: float) -> PolicyView:
    """A view that logs every context."""
    full = replace_settings(PolicySettings(context_share=1.0), **settings)
    return PolicyView(full, Experiment("test", holdout), rules=rules or {})


def replace_settings(settings: PolicySettings, **changes: float) -> PolicySettings:
    """The settings with some changed."""
    values = {f: getattr(settings, f) for f in settings.__struct_fields__}
    return PolicySettings(**{**values, **changes})


def shelf(size: int, d: int = 8, seed: int = 0) -> Shelf:
    """Random unit vectors; row 0 is zero."""
    vectors = np.random.default_rng(seed).normal(size=(size, d)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    vectors[0] = 0.0
    return replace(Shelf(), vectors=vectors)
