"""How far a shard has come: the row that is written together with its dirty blocks."""

import msgspec

from schemas.errors import CorruptBlockError, SnapshotError
from schemas.snapshots import pack, unpack

VERSION = 1


class Checkpoint(msgspec.Struct, frozen=True, kw_only=True):
    """Where to go on after a restart.

    Parameters
    ----------
    partition, incarnation
        Of ``events``.
    applied
        Offset of the last event in the state, -1 for none.
    cover_end
        End of the last signals block's cover.
    last_decided
        Offset of the last trigger that has a decision.
    clock
        The broker's time up to which windows were closed, ms.
    sources
        High-water rows (topic, partition, incarnation, offset, index).
    erased
        People who were erased lately: (hash of the id, events up to this time are refused, when).
    """

    partition: int
    incarnation: int = 0
    applied: int = -1
    cover_end: int = -1
    last_decided: int = -1
    clock: int = 0
    sources: tuple[tuple[str, int, int, int, int], ...] = ()
    erased: tuple[tuple[int, int, int], ...] = ()

    @property
    def key(self) -> bytes:
        """The key of the row in the state topic."""
        return checkpoint_key(self.partition)

    def encode(self) -> bytes:
        """Bytes with a checksum; equal checkpoints give equal bytes."""
        return pack("checkpoint", VERSION, {}, msgspec.to_builtins(self))

    @classmethod
    def decode(cls, data: bytes) -> "Checkpoint":
        """The checkpoint that ``encode`` wrote.

        Raises
        ------
        CorruptBlockError
            Damaged or of another version.

        Examples
        --------
        >>> Checkpoint.decode(Checkpoint(partition=3, applied=7).encode()).applied
        7
        """
        try:
            _, meta = unpack(data, "checkpoint", VERSION)
            return msgspec.convert(meta, cls, strict=True)
        except (SnapshotError, msgspec.ValidationError) as error:
            raise CorruptBlockError(
                "checkpoint", str(error), "restore the state topic from a backup"
            ) from error


def checkpoint_key(partition: int) -> bytes:
    """The key of a partition's checkpoint row.

    Examples
    --------
    >>> checkpoint_key(3)
    b'3/checkpoint'
    """
    return b"%d/checkpoint" % partition
