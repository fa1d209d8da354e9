"""The degradation ladder: on which rung a list was made, and what had been taken away."""

from collections.abc import Mapping
from enum import StrEnum


class Rung(StrEnum):
    """Rungs, best first."""

    FULL = "full"
    NO_VECTORS = "no-vectors"
    LAST_GOOD = "last-good"
    SEGMENT = "segment-popular"
    GLOBAL = "global-popular"
    NOTHING = "nothing"


RUNGS: tuple[str, ...] = tuple(rung.value for rung in Rung)
NOTHING = Rung.NOTHING.value
"""The last rung: there is no item that may be listed, and ``reason`` says so."""


class Cause(StrEnum):
    """What was missing: a closed set, for programs; ``reason`` says it in words."""

    VECTORS = "vectors"
    DEADLINE = "deadline"
    OVERLOAD = "overload"
    LEARNER = "learner"
    MODELS = "models"
    STREAM = "stream"
    OPENING = "opening"
    NO_ITEM = "no-item"


WORDS: Mapping[Cause, str] = {
    Cause.VECTORS: "fewer than half of the described items have a vector of the encoder",
    Cause.DEADLINE: "there was no time left for the whole list before its deadline",
    Cause.OVERLOAD: "more lists are asked for than can be made in time",
    Cause.LEARNER: "the learner is behind its log by more than learner.max_lag_seconds",
    Cause.MODELS: "the models could not be restored and are learned again from the log",
    Cause.STREAM: "the stream could not be asked",
    Cause.OPENING: "fewer items were met in events than a list holds: what was described last fills it",
    Cause.NO_ITEM: "no item is known that may be listed",
}

EXPLANATIONS = "explanations"
"""In ``Recommendation.without``: the past items that spoke for an item were not looked up."""
