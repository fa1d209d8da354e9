"""Encoders by the name in the settings; torch is loaded when one is made, not before."""

from collections.abc import Callable

from schemas.errors import SettingsError
from schemas.settings import EncoderSettings
from workers.encoder.protocol import Encoder


def make_encoder(settings: EncoderSettings) -> Encoder:
    """The encoder that ``settings.model`` names, checked against float32 on this host.

    Raises
    ------
    SettingsError
        No such model; or this model, device or precision cannot be had here.
    """
    maker = MAKERS.get(settings.model)
    if maker is None:
        raise SettingsError(f"encoder.model: {settings.model!r}: no such encoder; one of {', '.join(MAKERS)}")
    return maker(settings)


def _minilm(settings: EncoderSettings) -> Encoder:
    try:
        from workers.encoder import minilm  # noqa: PLC0415 - torch takes seconds: only who encodes loads it
    except ImportError as error:
        remedy = "install the extra: pip install 'streamwise[encoder]'"
        raise SettingsError(
            f"encoder.model: {settings.model!r}: {error.name} is missing; {remedy}"
        ) from error
    precision = None if settings.precision == "auto" else settings.precision
    try:
        return minilm.load(settings.device, precision)
    except RuntimeError as error:
        raise SettingsError(f"encoder.device: {settings.device!r}: {error}") from error


MAKERS: dict[str, Callable[[EncoderSettings], Encoder]] = {"minilm": _minilm}
