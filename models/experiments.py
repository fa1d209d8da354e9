"""Who is on which side of an experiment: a hash of the person, nothing stored."""

from dataclasses import dataclass

from schemas.ids import stable_hash
from schemas.settings import ExperimentSettings
from schemas.signals import Arm

ARM_NAMES: dict[Arm, str] = {Arm.TREATMENT: "treatment", Arm.HOLDOUT: "holdout"}


@dataclass(frozen=True, slots=True)
class Experiment:
    """A split of all people into treatment and holdout.

    The side depends on the subject and the experiment's name alone: it is the same in every process,
    before and after every restart, and independent between experiments of different names.

    Parameters
    ----------
    name
        A relaunch after a rollback is a new experiment and needs a new name.
    holdout
        Share of people who are served by the safe policy, in [0, 1).

    Examples
    --------
    >>> experiment = Experiment("launch", 0.1)
    >>> experiment.arm_of("user-1") is experiment.arm_of("user-1")
    True
    >>> sum(experiment.arm_of(f"u{i}") is Arm.HOLDOUT for i in range(10_000))
    1013
    """

    name: str
    holdout: float

    def __post_init__(self) -> None:
        if not 0.0 <= self.holdout < 1.0:
            raise ValueError(f"holdout == {self.holdout}, must be in [0, 1)")
        if not self.name:
            raise ValueError("an experiment needs a name")

    @classmethod
    def of(cls, settings: ExperimentSettings) -> "Experiment":
        """The experiment that the settings describe."""
        return cls(settings.name, settings.holdout)

    def arm_of(self, subject: str) -> Arm:
        """The side of a person.

        Parameters
        ----------
        subject
            The id that stays when a person logs in (the anonymous id that came first).
        """
        lot = stable_hash(subject, f"experiment/{self.name}") / 2.0**64
        return Arm.HOLDOUT if lot < self.holdout else Arm.TREATMENT
