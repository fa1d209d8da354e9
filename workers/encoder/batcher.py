"""Batches by tokens, not by count: pure functions and a queue.

Padding, not arithmetic, decides what a batch of texts costs on a CPU: a padded batch computes
``texts * longest`` tokens.  So a take from the queue is sorted by length and cut into sub-batches whose
*padded* size stays below a budget.  Nothing waits for company: whatever is queued when the encoder is
free is the batch (waiting buys no tail latency and costs the median).
"""

from collections import deque
from collections.abc import Sequence
from typing import Generic, TypeVar

T = TypeVar("T")


def split(lengths: Sequence[int], budget: int) -> list[list[int]]:
    """Cut texts into sub-batches of similar length.

    Parameters
    ----------
    lengths
        Tokens of each text, each at least 1.
    budget
        Largest padded size (texts times longest) of a sub-batch, at least 1.  A text that is longer
        than the budget is a sub-batch of its own.

    Returns
    -------
    list of list of int
        Positions into ``lengths``, each exactly once; shortest texts first.

    Examples
    --------
    >>> split([3, 90, 4, 5], budget=16)
    [[0, 2, 3], [1]]
    """
    if budget < 1:
        raise ValueError(f"budget must be at least 1 token, got {budget}")
    batches: list[list[int]] = []
    for i in sorted(range(len(lengths)), key=lengths.__getitem__):
        if batches and (len(batches[-1]) + 1) * lengths[i] <= budget:
            batches[-1].append(i)
        else:
            batches.append([i])
    return batches


def padded(lengths: Sequence[int], batches: Sequence[Sequence[int]]) -> int:
    """Tokens that ``batches`` compute, padding included.

    Examples
    --------
    >>> padded([3, 90, 4, 5], [[0, 2, 3], [1]])
    105
    """
    return sum(len(batch) * max(lengths[i] for i in batch) for batch in batches)


class TokenQueue(Generic[T]):
    """First in, first out; taken by tokens.

    Parameters
    ----------
    max_tokens
        Largest sum of costs of one take, at least 1; something dearer is taken alone.
    """

    def __init__(self, max_tokens: int) -> None:
        if max_tokens < 1:
            raise ValueError(f"max_tokens must be at least 1, got {max_tokens}")
        self.max_tokens = max_tokens
        self._queue: deque[tuple[T, int]] = deque()
        self.tokens = 0

    def __len__(self) -> int:
        return len(self._queue)

    def put(self, value: T, cost: int) -> None:
        """Append; ``cost`` is in tokens, at least 1."""
        if cost < 1:
            raise ValueError(f"a text costs at least 1 token, got {cost}")
        self._queue.append((value, cost))
        self.tokens += cost

    def take(self) -> list[T]:
        """The oldest values whose costs sum to at most ``max_tokens``; empty when nothing is queued.

        Examples
        --------
        >>> queue = TokenQueue[str](max_tokens=10)
        >>> for word, cost in (("a", 4), ("b", 6), ("c", 1)):
        ...     queue.put(word, cost)
        >>> queue.take(), queue.take(), queue.take()
        (['a', 'b'], ['c'], [])
        """
        taken: list[T] = []
        spent = 0
        while self._queue and (not taken or spent + self._queue[0][1] <= self.max_tokens):
            value, cost = self._queue.popleft()
            taken.append(value)
            spent += cost
        self.tokens -= spent
        return taken
