"""From arrays to the structs that are logged: the last step, and the only one with Python objects."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from typing import Protocol

import numpy as np

from models.fusion.scored import ScoredLists
from models.interning import Interner
from models.policy.sampling import FREE, PIN, Drawn, Script
from models.policy.utility import BOOST, CONTROL, DIVERSITY, EXPLORATION, NOVELTY, Weighed
from schemas.events import Decision, DecisionContext
from schemas.ladder import NOTHING, WORDS, Cause
from schemas.recommendations import Because, Recommendation, RecommendedItem, Timings
from schemas.signals import Float64, Int32, Int64

PINNED_PARTS = {"pin": 0.0}
EMPTY = "no item is known that may be listed: describe items, or widen the request"


class Asked(Protocol):
    """What a decision repeats of its request."""

    @property
    def user_id(self) -> str:
        """Whose list it is."""

    @property
    def trigger_id(self) -> str:
        """What it answers."""

    @property
    def surface(self) -> str:
        """Where it is shown."""

    @property
    def event_ts(self) -> int:
        """When the trigger happened, ms."""

    @property
    def special(self) -> bool:
        """Whether its list stands for no other."""


@dataclass(frozen=True, slots=True)
class Header:
    """What stands over the items, per batch or per list."""

    arms: Sequence[str]
    policies: Sequence[str]
    epoch: int
    now: int
    model: str
    rung: str
    cause: Cause | None
    without: tuple[str, ...]
    draw_seed: int


@dataclass(frozen=True, slots=True)
class Sources:
    """The arrays that the items are read from; ``similar`` says whether likeness is known at all."""

    scored: ScoredLists
    weighed: Weighed
    script: Script
    drawn: Drawn
    similar: bool


def assemble(
    requests: Sequence[Asked],
    header: Header,
    sources: Sources,
    items: Interner,
    reasons: tuple[Int32, Float64],
) -> list[Decision]:
    """Decisions in the order of the requests.

    ``decision_id`` is a hash of the trigger, the person, the batch's seed, the epoch, the time, the
    state of the models and the items: one id, one content.
    """
    slots = _items(header, sources, items, _becauses(reasons, items))
    salt = f"{header.draw_seed}\n{header.epoch}\n{header.now}\n{header.model}"
    dropped = sources.weighed.dropped.tolist()
    return [
        Decision(
            recommendation=Recommendation(
                decision_id=_decision_id(salt, request, slots[n]),
                trigger_id=request.trigger_id,
                user_id=request.user_id,
                ts=header.now,
                surface=request.surface,
                items=slots[n],
                arm=header.arms[n],
                policy=header.policies[n],
                epoch=header.epoch,
                model=header.model,
                rung=header.rung if slots[n] else NOTHING,
                reason=_reason(header.cause, dropped[n], empty=not slots[n]),
                timings=Timings(event=request.event_ts),
                restricted=request.special,
                cause=header.cause if slots[n] else Cause.NO_ITEM.value,
                without=header.without,
            ),
            context=_context(sources, n, len(slots[n]), items) if sources.script.keep[n] >= 0 else None,
        )
        for n, request in enumerate(requests)
    ]


def _decision_id(salt: str, request: Asked, chosen: Sequence[RecommendedItem]) -> str:
    text = "\n".join([salt, request.trigger_id, request.user_id, *[i.item_id for i in chosen]])
    return blake2b(text.encode(), digest_size=16).hexdigest()


def _reason(cause: Cause | None, dropped: int, *, empty: bool) -> str | None:
    """Why a list is not what it could be; None for a list that lacks nothing."""
    if empty and not dropped:
        return EMPTY
    reason = None if cause is None else WORDS[cause]
    return _left_out(reason, dropped) if dropped else reason


def _left_out(reason: str | None, count: int) -> str:
    words = f"{count} candidates had no finite score"
    return words if reason is None else f"{reason}; {words}"


def _items(
    header: Header, sources: Sources, items: Interner, becauses: list[list[tuple[Because, ...]]]
) -> list[tuple[RecommendedItem, ...]]:
    drawn = sources.drawn
    lists, places = np.nonzero(drawn.chosen != FREE)
    free = drawn.chosen[lists, places] != PIN
    picks = iter(_picks(header, sources, items, lists[free], places[free]))
    pins = iter(items.ids_of(sources.script.pinned[lists[~free], places[~free]].tolist()))
    out: list[list[RecommendedItem]] = [[] for _ in header.arms]
    for n, j, chosen, p, p_control, p_uniform, explored in zip(
        lists.tolist(),
        places.tolist(),
        free.tolist(),
        drawn.propensity[lists, places].tolist(),
        drawn.p_control[lists, places].tolist(),
        drawn.p_uniform[lists, places].tolist(),
        drawn.explored[lists, places].astype(bool).tolist(),
        strict=True,
    ):
        item, score, parts = next(picks) if chosen else (next(pins), 0.0, PINNED_PARTS)
        out[n].append(
            RecommendedItem(
                item_id=item,
                position=j,
                score=score,
                propensity=p,
                parts=parts,
                explored=explored,
                pinned=not chosen,
                because=becauses[n][j],
                p_control=p_control,
                p_uniform=p_uniform,
            )
        )
    return [tuple(mine) for mine in out]


def _picks(
    header: Header, sources: Sources, items: Interner, lists: Int64, places: Int64
) -> Iterator[tuple[str, float, dict[str, float]]]:
    """Id, score and named parts of every sampled item, in the order of lists and slots."""
    weighed, scored, penalty = sources.weighed, sources.scored, sources.drawn.penalty[lists, places]
    rows = weighed.pools.start[lists] + sources.drawn.chosen[lists, places]
    source, boost = weighed.source[rows], weighed.boost[rows]
    added = (boost, weighed.exploration[rows], weighed.novelty[rows], penalty)
    full = np.column_stack([scored.parts[source], *added]).tolist()
    plain = np.column_stack([scored.control[source], boost]).tolist()
    names = ((*scored.part_names, BOOST, EXPLORATION, NOVELTY, DIVERSITY), (CONTROL, BOOST))
    safe = [policy == "safe" for policy in header.policies]
    ids = items.ids_of(weighed.pools.slot[rows].tolist())
    scores = (weighed.pools.utility[rows] + penalty).tolist()
    for n, item, score, parts, few in zip(lists.tolist(), ids, scores, full, plain, strict=True):
        yield item, score, dict(zip(names[safe[n]], few if safe[n] else parts, strict=True))


def _becauses(reasons: tuple[Int32, Float64], items: Interner) -> list[list[tuple[Because, ...]]]:
    slots, weights = reasons[0].tolist(), reasons[1].tolist()
    ids = items.id_of
    return [
        [
            tuple([Because(ids(s), w) for s, w in zip(past, weight, strict=True) if s])
            for past, weight in zip(row, weight_row, strict=True)
        ]
        for row, weight_row in zip(slots, weights, strict=True)
    ]


def _context(sources: Sources, n: int, length: int, items: Interner) -> DecisionContext:
    pools, script = sources.weighed.pools, sources.script
    a, b = int(pools.start[n]), int(pools.start[n + 1])
    kept = sources.drawn.similarity[script.keep[n], :length, : b - a]
    similar = sources.similar and script.diversity[n] > 0.0
    return DecisionContext(
        candidates=tuple(items.ids_of(pools.slot[a:b].tolist())),
        utilities=tuple(pools.utility[a:b].tolist()),
        similarity=kept.astype("<f4").tobytes() if similar else b"",
        epsilon=float(script.epsilon[n]),
        temperature=float(script.temperature[n]),
        diversity=float(script.diversity[n]),
        seed=int(script.seed[n]),
        draws=tuple(sources.weighed.exploration[a:b].tolist()),
        control=tuple(pools.control[a:b].tolist()),
        control_epsilon=script.control_epsilon,
        control_temperature=script.control_temperature,
        groups=tuple(pools.group[a:b].tolist()) if script.cap[n] else (),
        cap=int(script.cap[n]),
    )
