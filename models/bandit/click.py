"""How likely an item is clicked once it is looked at: a discounted Beta-Bernoulli posterior."""

from models.bandit.counts import Memory, RewardCounts
from schemas.signals import Kind

CLICK_MEMORY = Memory(half_life=7 * 24 * 3_600_000.0, delay=30_000.0, prior_mean=0.05)


class ClickPosterior(RewardCounts):
    """Beta posterior of the click rate per item.

    Parameters
    ----------
    memory
        Clicks come half a minute after the list, on average, and count half after a week.

    Examples
    --------
    >>> ClickPosterior().prior()
    (1.0, 19.0)
    """

    def __init__(self, memory: Memory = CLICK_MEMORY) -> None:
        super().__init__("click-posterior", Kind.CLICK, memory)
