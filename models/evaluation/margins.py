"""Which parts lifted what came: the fused list's margin, split by part."""

import numpy as np

from schemas.signals import Float64


class Margins:
    """Contributions of parts to the utility of the items that came, above what was to be expected.

    The margin of a test is the utility of the item that came minus the mean utility of all candidates.
    Utilities are sums of parts, so margins are too.  (Weighted by predicted probability the mean would
    say nothing: of a head that predicts well, what comes has just the utility that is expected.)

    Parameters
    ----------
    names
        Of the parts.
    """

    def __init__(self, names: tuple[str, ...]) -> None:
        self.names = names
        self.total = np.zeros(len(names))

    def add(self, parts: Float64, target: int) -> None:
        """One test: ``parts`` of each candidate, shape (n, parts), and the place of the one that came."""
        if target >= 0:
            self.total += parts[target] - parts.mean(axis=0)

    def shares(self) -> dict[str, float]:
        """Part to its share of the whole margin, greatest first; empty where there is no margin.

        Examples
        --------
        >>> margins = Margins(("popularity", "factors"))
        >>> margins.add(np.array([[1.0, 3.0], [1.0, -1.0]]), 0)
        >>> margins.shares()
        {'factors': 1.0, 'popularity': 0.0}
        """
        whole = float(self.total.sum())
        if whole <= 0:
            return {}
        order = np.argsort(-self.total, kind="stable")
        return {self.names[p]: float(self.total[p]) / whole for p in order}
