"""The OpenAPI document: the framework's routes and answers, our structs as bodies and errors."""

from typing import Any

import msgspec
from litestar import Request
from litestar.openapi.config import OpenAPIConfig
from litestar.openapi.plugins import JsonRenderPlugin
from typing_extensions import override  # an aiokafka requirement; typing has it from 3.12

from deploy.api.bodies import Ask, Postable
from deploy.api.errors import ErrorBody

REFERENCE = "#/components/schemas/{name}"
FAILURES = {
    "400": "A field is missing, of the wrong type or out of range.",
    "404": "Not there.",
    "413": "Above 1 MiB.",
    "415": "Not application/json.",
    "503": "The broker does not answer.",
    "504": "No list in time.",
}
BODIES: dict[tuple[str, str], Any] = {("/v1/events", "post"): Postable, ("/v1/requests", "post"): Ask}


class DocumentPlugin(JsonRenderPlugin):
    """Serves the completed document; no page that loads scripts from elsewhere."""

    @override
    def render(self, request: "Request[Any, Any, Any]", openapi_schema: dict[str, Any]) -> bytes:
        return msgspec.json.encode(complete(openapi_schema))


def config(version: str) -> OpenAPIConfig:
    """For the application: one document at ``/openapi.json``."""
    return OpenAPIConfig(
        title="Streamwise",
        version=version,
        description="Lists that know their own probabilities, and the events that change them.",
        path="/openapi.json",
        render_plugins=[DocumentPlugin(path="/document")],
    )


def complete(document: dict[str, Any]) -> dict[str, Any]:
    """The framework's document with bodies and errors, which our routes read and write themselves."""
    kinds = [*BODIES.values(), ErrorBody]
    schemas, components = msgspec.json.schema_components(kinds, ref_template=REFERENCE)
    document["components"]["schemas"] = document["components"].get("schemas", {}) | components
    bodies = dict(zip(BODIES, schemas, strict=False))
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            if not path.startswith("/v1"):
                continue
            if (path, method) in bodies:
                operation["requestBody"] = _body(path, bodies[path, method])
            for status, meaning in FAILURES.items():
                operation["responses"][status] = _failure(meaning)
    return document


def _body(path: str, schema: dict[str, Any]) -> dict[str, Any]:
    if path == "/v1/events":
        schema = {"oneOf": [schema, {"type": "array", "items": schema, "minItems": 1, "maxItems": 1000}]}
    return {"required": True, "content": {"application/json": {"schema": schema}}}


def _failure(meaning: str) -> dict[str, Any]:
    schema = {"$ref": REFERENCE.format(name="ErrorBody")}
    return {"description": meaning, "content": {"application/json": {"schema": schema}}}
