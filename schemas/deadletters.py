"""The header contract of ``dead-letters``: the record's bytes stay untouched, the headers tell why."""

from collections.abc import Iterable

import msgspec

from schemas.errors import InvalidMessageError

PREFIX = "streamwise.error."
Headers = list[tuple[str, bytes]]


class DeadLetter(msgspec.Struct, frozen=True, kw_only=True):
    """Why a record could not be read.

    Parameters
    ----------
    error
        Class of the error.
    field, message
        The field at fault, and the sentence with field, value and remedy.
    topic, partition, offset
        Where the record came from.
    stage
        Who refused it: ``intake``, ``users``, ``encode`` …
    attempt
        1 for the first time; raised by each replay.
    """

    error: str
    field: str
    message: str
    topic: str
    partition: int
    offset: int
    stage: str
    attempt: int = 1

    @classmethod
    def of(
        cls, error: InvalidMessageError, *, topic: str, partition: int, offset: int, stage: str
    ) -> "DeadLetter":
        """From the error that reading the record raised."""
        return cls(
            error=type(error).__name__,
            field=error.field,
            message=str(error),
            topic=topic,
            partition=partition,
            offset=offset,
            stage=stage,
        )

    def headers(self) -> Headers:
        """As Kafka headers, all values UTF-8."""
        return [(PREFIX + name, str(getattr(self, name)).encode()) for name in self.__struct_fields__]

    @classmethod
    def from_headers(cls, headers: Iterable[tuple[str, bytes]]) -> "DeadLetter":
        """Read the contract back; headers of others are ignored.

        Raises
        ------
        InvalidMessageError
            Names the header that is missing or not a number where one is due.
        """
        found = {
            k.removeprefix(PREFIX): v.decode(errors="replace") for k, v in headers if k.startswith(PREFIX)
        }
        try:
            return msgspec.convert(found, cls, strict=False)
        except msgspec.ValidationError as error:
            raise InvalidMessageError("headers", found, str(error)) from error
