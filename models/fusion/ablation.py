"""Ablation: the fused list without some of what it knows, to measure what that is worth."""

import difflib
from collections.abc import Sequence

import numpy as np

from schemas.errors import SettingsError
from schemas.signals import Int32


def kept(names: Sequence[str], owners: Sequence[str], columns: int, without: Sequence[str]) -> Int32:
    """Indices of the features that stay.

    Parameters
    ----------
    names, owners
        Of every feature; the owner is a component.
    columns
        The first so many features are scores that propose candidates; one must stay.
    without
        Features, components, or a component's feature (``"transitions.transitions"``, where a feature is
        called as its component) to do without.

    Raises
    ------
    SettingsError
        A name is neither, or no score would be left.

    Examples
    --------
    >>> names = ("popular", "popular_ever", "factors", "count")
    >>> owners = ("popularity", "popularity", "factors", "popularity")
    >>> kept(names, owners, 3, ["popularity"]).tolist(), kept(names, owners, 3, ["count"]).tolist()
    ([2], [0, 1, 2])
    >>> kept(names, owners, 3, ["factor"])
    Traceback (most recent call last):
    ...
    schemas.errors.SettingsError: engine.without: 'factor': no such part; the nearest is factors
    """
    aliases = [{n, o, f"{o}.{n}"} for n, o in zip(names, owners, strict=True)]
    known = sorted(set().union(*aliases))
    for name in without:
        if name not in known:
            near = difflib.get_close_matches(name, known, n=1, cutoff=0.0)[0]
            raise SettingsError(f"engine.without: {name!r}: no such part; the nearest is {near}")
    gone = set(without)
    stay = [f for f, called in enumerate(aliases) if gone.isdisjoint(called)]
    if not any(f < columns for f in stay):
        raise SettingsError(
            f"engine.without: {sorted(gone)}: no score is left: keep one of {list(names[:columns])}"
        )
    return np.array(stay, np.int32)
