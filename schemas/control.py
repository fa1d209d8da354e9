"""Rows that steer: sequenced in ``signals`` so that every reader obeys them at the same place."""

from typing import Literal

import msgspec

from schemas.ids import ItemKey, Millis


class PolicySwitch(msgspec.Struct, frozen=True, tag="policy-switch"):
    """The guardrail's (or an operator's) order to serve another policy.

    Applied only where the current epoch is ``from_epoch`` (compare-and-set): a replayed or competing
    switch changes nothing.

    Parameters
    ----------
    experiment
        Whose policies are switched.
    from_epoch, to_epoch
        ``to_epoch`` must be ``from_epoch + 1``.
    policy
        What to serve from now on: ``"treatment"`` or the always-loaded ``"safe"`` policy.
    reason
        In plain words, with the e-value that decided.
    """

    experiment: str
    from_epoch: int
    to_epoch: int
    policy: Literal["treatment", "safe"]
    reason: str
    ts: Millis

    def __post_init__(self) -> None:
        if self.to_epoch != self.from_epoch + 1:
            raise ValueError(f"to_epoch must be {self.from_epoch + 1}, got {self.to_epoch}")


class Retire(msgspec.Struct, frozen=True, tag="retire"):
    """An item id that may be forgotten by the shared models."""

    item_id: ItemKey
    ts: Millis


ControlRow = PolicySwitch | Retire
