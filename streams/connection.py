"""How plain aiokafka clients of ours reach the broker."""

from typing import Any

from aiokafka.helpers import create_ssl_context

from schemas.settings import KafkaSettings

METADATA_SECONDS = 5
"""A topic that is created after its reader is noticed within this time."""


def client_options(kafka: KafkaSettings) -> dict[str, Any]:
    """Address and security, for any client.

    Examples
    --------
    >>> client_options(KafkaSettings())["security_protocol"]
    'PLAINTEXT'
    >>> client_options(KafkaSettings(username="me", password="hush", tls=True))["security_protocol"]
    'SASL_SSL'
    """
    options: dict[str, Any] = {
        "bootstrap_servers": kafka.bootstrap,
        "security_protocol": ("SASL_" if kafka.username else "") + ("SSL" if kafka.tls else "PLAINTEXT"),
        "metadata_max_age_ms": 1000 * METADATA_SECONDS,
    }
    if kafka.tls:
        options["ssl_context"] = create_ssl_context()
    if kafka.username:
        options |= {
            "sasl_mechanism": "SCRAM-SHA-512",
            "sasl_plain_username": kafka.username,
            "sasl_plain_password": kafka.password or "",
        }
    return options


def consumer_options(kafka: KafkaSettings) -> dict[str, Any]:
    """Of a consumer that commits by hand, if at all, and begins at the beginning."""
    options = client_options(kafka) | {"enable_auto_commit": False, "auto_offset_reset": "earliest"}
    if kafka.fetch_wait_ms:
        options["fetch_max_wait_ms"] = kafka.fetch_wait_ms
    return options
