"""Lists as the user agent publishes them."""

import msgspec

from schemas.recommendations import Because, Recommendation, RecommendedItem


def made(user: str, ts: int, *, surface: str = "home", first: str = "tea") -> Recommendation:
    """A list of two items whose first one is ``first``."""
    items = (
        RecommendedItem(
            item_id=first,
            position=0,
            score=1.5,
            propensity=0.75,
            parts={"transitions": 1.2, "popularity": 0.3},
            because=(Because("cup", 0.8),),
            p_control=0.5,
            p_uniform=0.01,
        ),
        RecommendedItem(
            item_id="pot", position=1, score=0.25, propensity=0.125, parts={"popularity": 0.25}, explored=True
        ),
    )
    return Recommendation(
        decision_id=f"d-{user}-{ts}",
        trigger_id=f"e-{user}-{ts}",
        user_id=user,
        ts=ts,
        surface=surface,
        items=items,
        arm="treatment",
        policy="treatment",
        epoch=0,
        model="rows-7",
    )


def record(*arguments, **fields) -> tuple[bytes, bytes]:
    """Key and value of ``made``."""
    recommendation = made(*arguments, **fields)
    return recommendation.user_id.encode(), msgspec.json.encode(recommendation)
