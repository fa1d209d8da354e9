"""Which policy serves: one immutable view per batch, switched by rows of the log alone."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Literal

from models.experiments import Experiment
from models.fold import Lent, Rows
from models.policy.rules import Rules
from models.policy.safe import SafePolicy
from schemas.control import ControlRow, PolicySwitch
from schemas.settings import PolicySettings
from schemas.signals import Arm
from schemas.snapshots import checksum, pack, unpack

PolicyName = Literal["treatment", "safe"]


@dataclass(frozen=True, slots=True)
class PolicyView:
    """Everything that a batch of lists obeys; it never changes, a new one replaces it.

    Parameters
    ----------
    epoch, policy
        Who serves the treatment arm; the holdout is always served by the safe policy.
    rules
        By surface; those under ``""`` are everybody's.
    control
        The safe policy's own numbers.
    """

    settings: PolicySettings
    experiment: Experiment
    epoch: int = 0
    policy: PolicyName = "treatment"
    rules: Mapping[str, Rules] = field(default_factory=dict)
    control: SafePolicy = field(default_factory=SafePolicy)

    def serves_safe(self, arm: Arm) -> bool:
        """Whether an arm is served by the safe policy: the holdout always, everybody after a rollback."""
        return self.policy == "safe" or arm is Arm.HOLDOUT

    def on_safe(self) -> "PolicyView":
        """The same view served by the safe policy: for a worker that has lagged too long to be trusted."""
        return replace(self, policy="safe")


class PolicyState:
    """The policy in force: a fold of the control rows of ``signals``.

    A switch applies only where it continues the current epoch of its own experiment
    (compare-and-set), so replayed and competing switches change nothing.

    Examples
    --------
    >>> state = PolicyState(PolicyView(PolicySettings(), Experiment("launch", 0.1)))
    >>> switch = PolicySwitch("launch", 0, 1, "safe", "fewer purchases: e-value 212", ts=0)
    >>> state.apply(switch), state.view.policy, state.view.epoch
    (True, 'safe', 1)
    >>> state.apply(switch), state.view.epoch
    (False, 1)
    """

    name = "policy"
    VERSION = 1

    def __init__(self, view: PolicyView) -> None:
        self._view = view
        self._trusted = True

    @property
    def view(self) -> PolicyView:
        """What to obey now: the log's view, on the safe policy while this process is not trusted."""
        return self._view if self._trusted else self._view.on_safe()

    def trust(self, trusted: bool) -> None:  # noqa: FBT001  the answer itself
        """Whether this process follows the log closely enough to know who serves; not part of the fold."""
        self._trusted = trusted

    def apply(self, row: ControlRow) -> bool:
        """Obey one control row; whether it changed anything."""
        if not isinstance(row, PolicySwitch) or row.experiment != self._view.experiment.name:
            return False
        if row.from_epoch != self._view.epoch:
            return False
        self._view = replace(self._view, epoch=row.to_epoch, policy=row.policy)
        return True

    def learn(self, rows: Rows) -> None:
        """Obey the control rows of a block, in order."""
        for row in rows.controls:
            self.apply(row)

    def lend(self, n_items: int) -> Lent:  # noqa: ARG002  nothing here is by item
        """Experiment, epoch and policy."""
        view = self._view
        return Lent({}, {"experiment": view.experiment.name, "epoch": view.epoch, "policy": view.policy})

    def adopt(self, lent: Lent) -> None:
        """Become what ``lend`` gave; the state of another experiment is not taken over."""
        found = lent.values
        if found["experiment"] == self._view.experiment.name:
            self._view = replace(self._view, epoch=found["epoch"], policy=found["policy"])

    def snapshot(self) -> bytes:
        """The same."""
        return pack(self.name, self.VERSION, *self.lend(0))

    def restore(self, data: bytes) -> None:
        """Become what ``snapshot`` wrote."""
        self.adopt(Lent(*unpack(data, self.name, self.VERSION)))

    def checksum(self) -> int:
        """Of the snapshot."""
        return checksum(self.snapshot())
