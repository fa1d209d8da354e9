"""Memory that was freed goes back to the system: the C library keeps it, in pieces, for as long as it may."""

import ctypes
import sys

_trim = getattr(ctypes.CDLL(None), "malloc_trim", None) if sys.platform == "linux" else None


def give_back() -> bool:
    """Return free pages to the system; whether there were any.  Takes less than a millisecond.

    Only the GNU C library can; elsewhere nothing happens.
    """
    return _trim is not None and bool(_trim(0))
