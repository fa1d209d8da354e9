"""A batch of requests and scored candidates becomes logged decisions.

The only place where a list is drawn.  What it returns is final: nothing reorders or filters after.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from typing import Protocol

import numpy as np
import numpy.typing as npt

from models.experiments import ARM_NAMES
from models.fusion.scored import ScoredLists
from models.interning import Interner
from models.policy.assembly import Header, Sources, assemble
from models.policy.rules import Ruling, Shelf, rule_on
from models.policy.sampling import FREE, PIN, Drawn, Script, draw
from models.policy.utility import BOOST, DIVERSITY, EXPLORATION, NOVELTY, Weighed, weigh
from models.policy.variety import strengths
from models.policy.view import PolicyView
from schemas.events import Decision
from schemas.ladder import Cause, Rung
from schemas.signals import Arm, Float64, Int32, UInt64

BecauseOf = Callable[[Int32, Int32], tuple[Int32, Float64]]
"""Given list numbers and universe slots of chosen items, both of shape (m,): the past items that spoke
for each (universe slots, 0 for none) and how much, both of shape (m, b), the weightiest first."""

NO_SHELF = Shelf()
SEED_BITS = 53


class ListRequest(Protocol):
    """What a policy must know of a request."""

    @property
    def user_id(self) -> str:
        """Whose list it will be."""

    @property
    def trigger_id(self) -> str:
        """What it answers."""

    @property
    def surface(self) -> str:
        """Where it will be shown."""

    @property
    def k(self) -> int:
        """Slots wanted."""

    @property
    def event_ts(self) -> int:
        """When the trigger happened, ms."""

    @property
    def special(self) -> bool:
        """Whether its list stands for no other."""


class Draws(Protocol):
    """Posteriors that can be drawn from."""

    def draw(self, slots: Int32, list_start: Int32, seed: UInt64) -> Float64:
        """Relative advantage of each candidate in one draw per list.

        Parameters
        ----------
        slots
            Universe slots, ragged like ``list_start``, shape (total,).
        seed
            One per list: the same seed, the same draw.

        Returns
        -------
        ndarray
            Shape (total,), of order one; 0: as good as a new item is expected to be.
        """


@dataclass(frozen=True, slots=True)
class Stamp:
    """What all decisions of a batch are stamped with.

    Parameters
    ----------
    now
        Time of the decisions, ms.
    seed
        Of the batch; another attempt at the same triggers needs another one.
    model, rung, cause, without
        As in ``Recommendation``.
    """

    now: int
    seed: int
    model: str = ""
    rung: Rung = Rung.FULL
    cause: Cause | None = None
    without: tuple[str, ...] = ()


def decide(
    view: PolicyView,
    requests: Sequence[ListRequest],
    scored: ScoredLists,
    *,
    items: Interner,
    stamp: Stamp,
    shelf: Shelf = NO_SHELF,
    draws: Draws | None = None,
    because: BecauseOf | None = None,
    arms: Sequence[Arm] | None = None,
) -> list[Decision]:
    """Draw one list per request.

    Parameters
    ----------
    view
        The policy in force, one for the whole batch.
    requests, scored
        As many requests as lists.
    items
        Ids of universe slots.
    shelf
        Availability, groups and vectors of items.
    draws
        For the Thompson part; None: no such part.
    because
        Names the past items behind each choice; None: none are named.
    arms
        Everyone's side of the experiment, where it is not the hash of the user id (a person who logged
        in keeps the side of the anonymous id); None: that hash.

    Returns
    -------
    list of Decision
        In the order of the requests.  A list is shorter than asked for where its candidates end, and
        empty where there are none that can be listed.

    Raises
    ------
    ValueError
        As many lists as requests were expected, or a component takes a name of the policy's parts.
    """
    if len(requests) != len(scored):
        raise ValueError(f"{len(requests)} requests, {len(scored)} scored lists")
    if taken := {BOOST, EXPLORATION, NOVELTY, DIVERSITY} & set(scored.part_names):
        raise ValueError(f"a component may not be called {min(taken)!r}")
    if not requests:
        return []
    arms = [view.experiment.arm_of(r.user_id) for r in requests] if arms is None else arms
    safe = np.array([view.serves_safe(arm) for arm in arms])
    seeds, lots = _seeds(requests, stamp.seed, view.epoch)
    lengths = [r.k for r in requests]
    ruling = rule_on([r.surface for r in requests], lengths, view.rules, items, shelf)
    exploration = np.zeros(0)
    if draws is not None and view.settings.thompson > 0.0:
        exploration = view.settings.thompson * draws.draw(scored.slot, scored.list_start, seeds)
    turned = strengths(view.settings.variety)
    weighed = weigh(
        scored,
        exploration,
        safe.view(np.uint8),
        ruling,
        shelf,
        limit=view.settings.pool,
        discount=turned.popularity,
    )
    script = _script(view, safe, seeds, lots, lengths, ruling)
    drawn = draw(weighed.pools, script, shelf.vectors)
    sources = Sources(scored, weighed, script, drawn, bool(len(shelf.vectors)))
    header = Header(
        arms=[ARM_NAMES[arm] for arm in arms],
        policies=["safe" if s else view.policy for s in safe],
        epoch=view.epoch,
        now=stamp.now,
        model=stamp.model,
        rung=stamp.rung.value,
        cause=stamp.cause,
        without=stamp.without,
        draw_seed=stamp.seed,
    )
    return assemble(requests, header, sources, items, _reasons(because, weighed, drawn, ruling))


def _seeds(requests: Sequence[ListRequest], seed: int, epoch: int) -> tuple[UInt64, Float64]:
    """Seed of each list, and the lot that says whether its context is logged."""
    salt = f"{seed}\n{epoch}".encode()
    names = (f"{r.trigger_id}\n{r.user_id}".encode() for r in requests)
    digests = b"".join(blake2b(name, digest_size=16, key=salt[:64]).digest() for name in names)
    words = np.frombuffer(digests, "<u8").reshape(-1, 2)
    shift = np.uint64(64 - SEED_BITS)
    return words[:, 0] >> shift, (words[:, 1] >> shift) / 2.0**SEED_BITS


def _script(
    view: PolicyView,
    safe: npt.NDArray[np.bool_],
    seeds: UInt64,
    lots: Float64,
    lengths: Sequence[int],
    ruling: Ruling,
) -> Script:
    settings, control = view.settings, view.control
    logged = lots < settings.context_share
    return Script(
        seed=seeds,
        length=np.array(lengths, np.int32),
        cap=ruling.cap,
        forced=np.where(ruling.pinned > 0, np.int32(PIN), np.int32(FREE)),
        pinned=ruling.pinned,
        epsilon=np.where(safe, control.epsilon, settings.epsilon),
        temperature=np.where(safe, control.temperature, settings.temperature),
        diversity=np.where(safe, 0.0, strengths(settings.variety).likeness),
        control_epsilon=control.epsilon,
        control_temperature=control.temperature,
        keep=np.where(logged, np.cumsum(logged) - 1, -1).astype(np.int32),
    )


def _reasons(
    because: BecauseOf | None, weighed: Weighed, drawn: Drawn, ruling: Ruling
) -> tuple[Int32, Float64]:
    """Past items behind every slot, shape (n, width, b)."""
    n, width = drawn.chosen.shape
    if because is None:
        return np.zeros((n, width, 0), np.int32), np.zeros((n, width, 0))
    lists, places = np.nonzero((drawn.chosen >= 0) | (drawn.chosen == PIN))
    rows = weighed.pools.start[lists] + np.maximum(drawn.chosen[lists, places], 0)
    pinned = ruling.pinned[lists, places]
    slots = pinned.copy()
    slots[pinned == 0] = weighed.pools.slot[rows[pinned == 0]]
    found, weight = because(lists.astype(np.int32), slots)
    all_found = np.zeros((n, width, found.shape[1]), np.int32)
    all_weight = np.zeros((n, width, found.shape[1]))
    all_found[lists, places], all_weight[lists, places] = found, weight
    return all_found, all_weight
