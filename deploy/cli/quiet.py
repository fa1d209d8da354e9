"""What event processes and their clients write to the log: errors, and each of them seldom.

A client tells of a dead broker some twenty times a second, in the same words.  What a worker itself has to
say, once, would be lost among these lines.
"""

import logging
from collections.abc import Callable
from time import monotonic

from typing_extensions import override  # typing has it from 3.12

CLIENTS = ("aiokafka", "faust", "mode")
SELDOM_SECONDS = 10.0
REMEMBERED = 256


def quiet() -> None:
    """Faust and its clients speak of errors only: what matters is told by metrics and exit codes."""
    logging.basicConfig(level=logging.WARNING, format="%(asctime)s %(name)s %(levelname)s %(message)s")
    for name in CLIENTS:
        logging.getLogger(name).setLevel(logging.ERROR)
    for handler in logging.getLogger().handlers:
        if not any(isinstance(one, Seldom) for one in handler.filters):
            handler.addFilter(Seldom())


class Seldom(logging.Filter):
    """Lets each sentence of a client pass once in ``seconds``, with how often it was said since.

    Parameters
    ----------
    seconds
        From one time to the next.
    clock
        Seconds.

    Examples
    --------
    >>> now = [0.0]
    >>> seldom = Seldom(10.0, lambda: now[0])
    >>> def said(name):
    ...     record = logging.LogRecord(name, logging.ERROR, "", 0, "no %s", ("answer",), None)
    ...     return record.getMessage() if seldom.filter(record) else None
    >>> said("aiokafka"), said("aiokafka.conn"), said("aiokafka"), said("streams.learner")
    ('no answer', 'no answer', None, 'no answer')
    >>> now[0] = 11.0
    >>> said("aiokafka")
    'no answer (1 time more since)'
    """

    def __init__(self, seconds: float = SELDOM_SECONDS, clock: Callable[[], float] = monotonic) -> None:
        super().__init__()
        self._seconds = seconds
        self._clock = clock
        self._said: dict[tuple[str, str], tuple[float, int]] = {}

    @override
    def filter(self, record: logging.LogRecord) -> bool:
        """Whether it passes; its message then tells of those that did not."""
        if record.name.partition(".")[0] not in CLIENTS:
            return True
        try:
            key, now = (record.name, record.getMessage()), self._clock()
        except (TypeError, ValueError):  # its words and values do not fit: the handler says so
            return True
        since, held = self._said.get(key, (now - self._seconds, 0))
        if now - since < self._seconds:
            self._said[key] = since, held + 1
            return False
        self._said.pop(key, None)
        if len(self._said) >= REMEMBERED:
            del self._said[next(iter(self._said))]
        self._said[key] = now, 0
        if held:
            record.msg = f"{key[1]} ({held} {'time' if held == 1 else 'times'} more since)"
            record.args = None
        return True
