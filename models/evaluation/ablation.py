"""Drop-one ablation: what each part of the engine is worth, by leaving it out."""

from collections import Counter

import msgspec
import numpy as np

from models.evaluation.contest import FUSED
from models.evaluation.metrics import interval
from models.evaluation.tally import Tally
from models.fusion.fusion import Fusion


class Dropped(msgspec.Struct, frozen=True, kw_only=True):
    """The fused list without a part, against the fused list with it, on the same tests.

    Parameters
    ----------
    without
        The component, or one of its columns.
    ndcg, hit_rate
        NDCG@10 and HR@10 without it.
    difference, low, high
        Of NDCG@10, without minus with, and its paired 95 % interval; negative: the part is worth having.
    last_half
        Difference in the second half of the stream.
    """

    without: str
    ndcg: float
    hit_rate: float
    difference: float
    low: float
    high: float
    last_half: float


def parts(fusion: Fusion) -> tuple[str, ...]:
    """What can be left out: every component that has a column left, and each column of those with several."""
    owners = [fusion.part_names[p] for p in fusion.column_part.tolist()]
    several = {name for name, n in Counter(owners).items() if n > 1}
    columns = (
        f"{o}.{c}" if c in fusion.part_names else c
        for o, c in zip(owners, fusion.columns, strict=True)
        if o in several
    )
    whole = dict.fromkeys(owners)
    return (*whole, *columns) if len(whole) > 1 else tuple(columns)


def dropped(name: str, whole: Tally, less: Tally) -> Dropped:
    """Compare two walks of one log.

    Raises
    ------
    ValueError
        They did not test the same events.
    """
    if whole.number != less.number:
        raise ValueError("ablation: the two walks tested different events")
    difference = less.gains(FUSED) - whole.gains(FUSED)
    low, high = interval(difference, np.array(whole.person, np.int32))
    late = difference[whole.within("last50")]
    return Dropped(
        without=name,
        ndcg=less.mean(FUSED),
        hit_rate=float(np.mean([0 < rank <= 10 for rank in less.ranks[FUSED]])),
        difference=float(difference.mean()),
        low=low,
        high=high,
        last_half=float(late.mean()) if len(late) else 0.0,
    )


def sentence(rows: list[Dropped], whole: float) -> str:
    """What an ablation says, in words.

    Examples
    --------
    >>> figures = {"ndcg": 0.09, "hit_rate": 0.2, "difference": -0.01, "low": -0.02, "high": -0.005}
    >>> sentence([Dropped(without="factors", last_half=0.0, **figures)], 0.1)
    'Left out one by one, what is missed beyond chance: factors (-10.0 %).'
    """
    missed = _named([row for row in rows if row.high < 0], whole)
    better = _named([row for row in rows if row.low > 0], whole)
    if not missed and not better:
        return "Left out one by one, no part is missed beyond chance: each is stood in for by the others."
    said = [f"what is missed beyond chance: {missed}"] if missed else []
    said += [f"without which the list is better beyond chance: {better}"] if better else []
    return f"Left out one by one, {'; '.join(said)}."


def _named(rows: list[Dropped], whole: float) -> str:
    rows = sorted(rows, key=lambda row: -abs(row.difference))
    return ", ".join(f"{row.without} ({100 * row.difference / max(whole, 1e-12):+.1f} %)" for row in rows)
