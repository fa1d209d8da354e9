"""Compiled kernels: numba behind one typed decorator."""

from collections.abc import Callable
from typing import Any, ParamSpec, TypeVar, cast

import numba

P = ParamSpec("P")
R = TypeVar("R")

_FAST = {"reassoc", "contract", "nsz"}

KERNELS: list[Any] = []
"""Every kernel of the modules that are loaded: whoever starts a process can see that all are compiled."""


def _listed(compiled: Any) -> Any:
    KERNELS.append(compiled)
    return compiled


def kernel(function: Callable[P, R]) -> Callable[P, R]:
    """Compile a sequential kernel: cached on disk, without the interpreter lock.

    Kernels go through rows one by one, in order, so that how rows were packed into blocks cannot
    matter.  Floating point follows IEEE order; see ``fast_kernel`` for the exception.
    """
    compiled = numba.njit(nogil=True, cache=True, error_model="numpy")(function)
    return cast("Callable[P, R]", _listed(compiled))


def brief_kernel(function: Callable[P, R]) -> Callable[P, R]:
    """Compile a kernel that takes less than 0.3 ms for a batch of 64, and keeps the interpreter lock for it.

    To give the lock up and to get it back costs more than that where the event loop wants it, too.
    """
    compiled = numba.njit(cache=True, error_model="numpy")(function)
    return cast("Callable[P, R]", _listed(compiled))


def fast_kernel(function: Callable[P, R]) -> Callable[P, R]:
    """Compile a kernel whose sums may be re-associated (vectorised dot products).

    Same build and CPU level: same bits.  NaN and infinity keep their meaning.
    """
    compiled = numba.njit(nogil=True, cache=True, error_model="numpy", fastmath=_FAST)(function)
    return cast("Callable[P, R]", _listed(compiled))


def inlined_kernel(function: Callable[P, R]) -> Callable[P, R]:
    """Compile an inner kernel into its callers.

    A call that passes a tuple of arrays counts a reference of each of them, up and down: more than the
    work of a small kernel that runs once an event.  Its callers take longer to compile.
    """
    compiled = numba.njit(
        nogil=True,
        cache=True,
        error_model="numpy",
        no_cpython_wrapper=True,
        no_cfunc_wrapper=True,
        forceinline=True,
    )(function)
    return cast("Callable[P, R]", _listed(compiled))


def inner_kernel(function: Callable[P, R]) -> Callable[P, R]:
    """Compile a kernel that only other kernels call: without the door from Python, which costs start-up."""
    compiled = numba.njit(
        nogil=True, cache=True, error_model="numpy", no_cpython_wrapper=True, no_cfunc_wrapper=True
    )(function)
    return cast("Callable[P, R]", _listed(compiled))
