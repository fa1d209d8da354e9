"""What the shop decides and no model may overrule; applied before sampling, so that nothing after it is.

Exclusions and availability take candidates out, a boost adds to the utility (of the control too: a
rule is part of the shop, not of the policy under test), a cap limits how many items of one group a list
holds, and a pin gives a slot away with probability 1.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from models.interning import Interner
from schemas.signals import Float32, Float64, Int32, UInt8

NO_ITEMS = np.zeros(0, np.int32)


@dataclass(frozen=True, slots=True)
class Shelf:
    """What policies must know of items, by universe slot; what an array is too short for is unknown.

    Attributes
    ----------
    available
        0: delisted or out of stock, shape (slots,).
    group
        Above 0: counts towards caps (its main category, say), shape (slots,).
    vectors
        For similarity: rows of length 1, or zeros, shape (slots, d).  Time per list grows with d:
        project to 64 dimensions or fewer.
    """

    available: UInt8 = field(default_factory=lambda: np.zeros(0, np.uint8))
    group: Int32 = field(default_factory=lambda: np.zeros(0, np.int32))
    vectors: Float32 = field(default_factory=lambda: np.zeros((0, 0), np.float32))

    def groups_of(self, slots: Int32) -> Int32:
        """Groups of items, 0 where unknown."""
        if not len(self.group):
            return np.zeros(len(slots), np.int32)
        return np.where(slots < len(self.group), self.group[np.minimum(slots, len(self.group) - 1)], 0)

    def has(self, slot: int) -> bool:
        """Whether an item can be listed."""
        return slot > 0 and (slot >= len(self.available) or bool(self.available[slot]))


@dataclass(frozen=True, slots=True)
class Rules:
    """The rules of one surface.

    Parameters
    ----------
    excluded
        Never listed.
    boosts
        Added to the utility; finite.
    pins
        0-based slot to item: the item holds the slot.  A pin that cannot be listed is left out.
    cap
        Items allowed per group; 0: any number.

    Examples
    --------
    >>> Rules(boosts={"tea": float("nan")})
    Traceback (most recent call last):
    ...
    ValueError: boosts['tea'] == nan, must be finite
    """

    excluded: frozenset[str] = frozenset()
    boosts: Mapping[str, float] = field(default_factory=dict)
    pins: Mapping[int, str] = field(default_factory=dict)
    cap: int = 0

    def __post_init__(self) -> None:
        for item, boost in self.boosts.items():
            if not math.isfinite(boost):
                raise ValueError(f"boosts[{item!r}] == {boost}, must be finite")
        if min(self.pins, default=0) < 0:
            raise ValueError(f"pins: slot {min(self.pins)}, must be >= 0")
        if len(set(self.pins.values())) < len(self.pins):
            raise ValueError("pins: one item holds two slots")
        if self.cap < 0:
            raise ValueError(f"cap == {self.cap}, must be >= 0")


NO_RULES = Rules()


@dataclass(frozen=True, slots=True)
class Ruling:
    """Rules as arrays.

    Attributes
    ----------
    rule
        Which row of ``blocked`` and ``boost`` governs each list, shape (n,).
    blocked
        Shape (rules, slots), or (rules, 0) where nothing is excluded.
    boost
        Shape (rules, slots), or (rules, 0) where nothing is boosted.
    pinned
        Universe slot that holds each slot of each list, 0: none, shape (n, width).
    cap
        Shape (n,).
    """

    rule: Int32
    blocked: UInt8
    boost: Float64
    pinned: Int32
    cap: Int32


def rule_on(
    surfaces: Sequence[str], lengths: Sequence[int], book: Mapping[str, Rules], items: Interner, shelf: Shelf
) -> Ruling:
    """Rules of many lists.

    Parameters
    ----------
    surfaces, lengths
        Surface and slots of each list.
    book
        Surface to rules; those under ``""`` hold wherever a surface has none of its own.
    """
    names = list(dict.fromkeys(surfaces))
    rules = [book.get(name, book.get("", NO_RULES)) for name in names]
    index = {name: i for i, name in enumerate(names)}
    which = [index[s] for s in surfaces]
    pinned = np.zeros((len(surfaces), max(lengths, default=0)), np.int32)
    for n, (w, length) in enumerate(zip(which, lengths, strict=True)):
        for place, item in rules[w].pins.items():
            slot = items.lookup(item)
            if place < length and shelf.has(slot) and item not in rules[w].excluded:
                pinned[n, place] = slot
    return Ruling(
        rule=np.array(which, np.int32),
        blocked=_blocked(rules, items),
        boost=_boost(rules, items),
        pinned=pinned,
        cap=np.array([rules[w].cap for w in which], np.int32),
    )


def _blocked(rules: Sequence[Rules], items: Interner) -> UInt8:
    blocked = np.zeros((len(rules), len(items) if any(r.excluded for r in rules) else 0), np.uint8)
    for row, rule in zip(blocked, rules, strict=True):
        if rule.excluded:
            row[items.lookup_many(rule.excluded)] = 1
    return blocked


def _boost(rules: Sequence[Rules], items: Interner) -> Float64:
    boost = np.zeros((len(rules), len(items) if any(r.boosts for r in rules) else 0))
    for row, rule in zip(boost, rules, strict=True):
        if rule.boosts:
            row[items.lookup_many(rule.boosts)] = list(rule.boosts.values())
    return boost
