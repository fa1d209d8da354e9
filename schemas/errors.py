"""Every exception that Streamwise raises on purpose.

::

    StreamwiseError
    ├── InvalidMessageError     a message that cannot be read: names field, value and remedy
    │   ├── OversizedMessageError
    │   └── CorruptBlockError   a signals block, state block or snapshot whose bytes are damaged
    ├── SettingsError           a setting that cannot be used: names key, value and nearest valid key
    ├── CoverGapError           a signals block starts above the fold's high-water: stop and alarm
    ├── IncarnationError        a topic was recreated, or lost its tail
    ├── FencedError             another worker owns the partition now
    ├── SnapshotError           a snapshot of another version or with a wrong checksum
    ├── ArchiveError            a backup that is damaged, unfinished, or cannot be written or restored here
    └── UnavailableError        a dependency (broker, Redis, encoder) does not answer
"""


class Missing:
    """Stands for the value of a field that is not there; shown as ``(missing)``."""


MISSING = Missing()


class StreamwiseError(Exception):
    """The root: catch this to catch what Streamwise raises on purpose."""


class InvalidMessageError(StreamwiseError):
    """A message that cannot be read.

    Parameters
    ----------
    field
        The path of the field at fault (``"$.ts"``), or ``"$"`` for the whole message.
    value
        What was found there, shortened for display.
    remedy
        What the sender should send instead.
    """

    def __init__(self, field: str, value: object, remedy: str) -> None:
        shown = shorten(value)
        super().__init__(f"{field}: {shown}: {remedy}")
        self.field = field
        self.value = shown
        self.remedy = remedy


class OversizedMessageError(InvalidMessageError):
    """A message above the byte limit of its topic."""


class CorruptBlockError(InvalidMessageError):
    """A binary block (signals, state, snapshot) whose bytes are damaged or of an unknown version."""


class SettingsError(StreamwiseError):
    """A setting that cannot be used; the message names the key, the value and the nearest valid key."""


class CoverGapError(StreamwiseError):
    """A signals block that starts above what the fold has applied of its source.

    Parameters
    ----------
    source
        ``"partition/incarnation"`` of the events partition.
    expected, found
        The fold's high-water, and where the block starts.
    """

    def __init__(self, source: str, expected: int, found: int) -> None:
        super().__init__(
            f"signals of events partition {source}: a block starts after offset {found}, but only "
            f"{expected} is applied; the blocks between are missing: restore an older snapshot"
        )
        self.source = source
        self.expected = expected
        self.found = found


class IncarnationError(StreamwiseError):
    """A topic is not the one that was read before: recreated, or its tail was lost."""


class FencedError(StreamwiseError):
    """Another worker owns the partition now; this one must let go of it."""


class SnapshotError(StreamwiseError):
    """A snapshot of an unknown version, for other settings, or with a wrong checksum."""


class ArchiveError(StreamwiseError):
    """A backup that is damaged, unfinished, or cannot be written or restored here."""


class UnavailableError(StreamwiseError):
    """A dependency does not answer within its deadline."""


def shorten(value: object, limit: int = 80) -> str:
    """``repr`` of a value, cut to ``limit`` characters, for error messages.

    Examples
    --------
    >>> shorten("x" * 200, 10)
    "'xxxxxxxx…"
    """
    text = "(missing)" if value is MISSING else repr(value)
    return text if len(text) <= limit else text[: limit - 1] + "…"
