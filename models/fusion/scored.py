"""Ranked candidates with utilities that split exactly into named parts: what policies sample from."""

from dataclasses import dataclass

from schemas.signals import Float64, Int32


@dataclass(frozen=True, slots=True)
class ScoredLists:
    """Candidates of ``n`` people, each list best first (descending utility, ties broken by a hash).

    Ragged: person ``i`` owns rows ``list_start[i]:list_start[i + 1]``.

    Attributes
    ----------
    list_start
        Shape (n + 1,).
    slot
        Universe slots, shape (total,); no item twice in a list, none that is excluded for the person.
    utility
        Fused utility (the head's logit, or rank fusion's score before the head has learned),
        shape (total,).
    parts
        Contributions, shape (total, len(part_names)); each row summed left to right equals ``utility``
        bit for bit.
    part_names
        One per component and per group of features: ``"popularity"``, ``"transitions"``, ….
    control
        What the always-loaded safe policy ranks by (log of decayed popularity, finite), shape (total,).
    fused
        False while rank fusion stands in for the head.
    """

    list_start: Int32
    slot: Int32
    utility: Float64
    parts: Float64
    part_names: tuple[str, ...]
    control: Float64
    fused: bool = True

    def __post_init__(self) -> None:
        total = int(self.list_start[-1])
        if not total == len(self.slot) == len(self.utility) == len(self.control) == len(self.parts):
            raise ValueError("ScoredLists: columns of different lengths")
        if self.parts.shape[1] != len(self.part_names):
            raise ValueError(f"ScoredLists: {self.parts.shape[1]} parts, {len(self.part_names)} names")

    def __len__(self) -> int:
        return len(self.list_start) - 1
