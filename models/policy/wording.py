"""Why an item stands where it stands, in numbers that add up and in a sentence."""

from collections.abc import Mapping
from dataclasses import dataclass

from schemas.recommendations import RecommendedItem

POLICY_PARTS: Mapping[str, str] = {
    "boost": "a boost of the shop",
    "exploration": "a draw that tries out what is not known well",
    "novelty": "its popularity",
    "diversity": "its likeness to what stands above it",
    "pin": "a fixed place",
}


@dataclass(frozen=True, slots=True)
class Contribution:
    """One part of a score.

    Attributes
    ----------
    name
        Of the component, or of the policy's part.
    amount
        What it adds to the utility.
    share
        Its size relative to all parts' sizes, in [0, 1].
    """

    name: str
    amount: float
    share: float


@dataclass(frozen=True, slots=True)
class Explanation:
    """One item explained.

    Attributes
    ----------
    contributions
        Largest first; their amounts, added in the order of the item's ``parts``, are its score.
    sentence
        The same in words.
    """

    item_id: str
    score: float
    contributions: tuple[Contribution, ...]
    sentence: str


def explain(item: RecommendedItem, titles: Mapping[str, str] | None = None) -> Explanation:
    """Explain one recommended item.

    Parameters
    ----------
    titles
        Names to use instead of ids.

    Examples
    --------
    >>> item = RecommendedItem(item_id="tea", position=0, score=1.5, propensity=0.75,
    ...                        parts={"transitions": 2.0, "diversity": -0.5})
    >>> explain(item).sentence
    'tea: for transitions (+2.00), against it its likeness to what stands above it (-0.50); chosen with
     probability 0.75'
    """
    size = sum(abs(amount) for amount in item.parts.values())
    ranked = sorted(item.parts.items(), key=lambda part: (-abs(part[1]), part[0]))
    contributions = tuple(Contribution(n, a, abs(a) / size if size else 0.0) for n, a in ranked)
    return Explanation(item.item_id, item.score, contributions, _sentence(item, contributions, titles or {}))


def _sentence(
    item: RecommendedItem, contributions: tuple[Contribution, ...], titles: Mapping[str, str]
) -> str:
    name = titles.get(item.item_id, item.item_id)
    if item.pinned:
        return f"{name}: pinned to place {item.position + 1} by a rule of the shop"
    words = []
    if speak := _list([c for c in contributions if c.amount > 0.0]):
        words.append(f"for {speak}")
    if against := _list([c for c in contributions if c.amount < 0.0]):
        words.append(f"against it {against}")
    if item.because:
        past = ", ".join(titles.get(b.item_id, b.item_id) for b in item.because)
        words.append(f"because of {past}")
    how = "tried out" if item.explored else "chosen"
    reasons = ", ".join(words) or "nothing speaks for it"
    return f"{name}: {reasons}; {how} with probability {item.propensity:.2g}"


def _list(contributions: list[Contribution]) -> str:
    return " and ".join(f"{POLICY_PARTS.get(c.name, c.name)} ({c.amount:+.2f})" for c in contributions[:3])
