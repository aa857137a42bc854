"""What the OpenAPI document says of a route, beyond what FastAPI sees by itself.

Routes answer with ready responses and read forms, tokens and secrets by themselves, so each says
with :func:`documented` what comes back and who may call. Bodies and parameters add their refusals.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from fastapi import FastAPI
from msgspec import Struct
from msgspec.json import schema_components
from pydantic import BaseModel
from starlette.responses import Response

from tocsin_issuer.http.answers import CommitAnswer, ErrorAnswer
from tocsin_issuer.http.strict_body import FORM, JSON

_MEANING: Final[Mapping[int, str]] = {
    400: "The request is malformed or refused; `error` and `code` say why",
    401: "Nobody, or not who they say",
    403: "The caller lacks a permission",
    404: "There is no such thing",
    408: "The body took too long",
    409: "It is in the way of something else",
    413: "The body is too large, or names too much",
    415: "Another content type is needed",
    429: "Too much of this; `Retry-After` says when to repeat it",
    503: "The issuer cannot answer now; `Retry-After` says when to repeat it",
}
_OF_A_BODY: Final = (400, 408, 413, 415)
_OF_A_FORM: Final = (400, 408, 413)
"""RFC 6749 section 5.2 has 400 for another content type too."""

_SCHEMES: Final = {
    "bearer": {"type": "http", "scheme": "bearer", "bearerFormat": "RFC 9068 access token"},
    "client": {"type": "http", "scheme": "basic", "description": "client id and secret"},
}


@dataclass(frozen=True, slots=True)
class Caller:
    """Who may call: alternatives of security schemes, and how others are refused."""

    security: tuple[Mapping[str, list[str]], ...]
    refusals: tuple[int, ...]


ANYBODY: Final = Caller((), ())
USER: Final = Caller(({"bearer": []},), (401, 503))
OPERATOR: Final = Caller(({"bearer": []},), (401, 403, 503))
CLIENT: Final = Caller(({"client": []}, {}), (401, 429, 503))
"""By HTTP Basic, or by what stands in the form."""


def documented(
    answer: Any,
    *statuses: int,
    caller: Caller,
    errors: Iterable[int] = (),
    form: type[BaseModel] | None = None,
    body: Mapping[str, Mapping[str, Any]] | None = None,
) -> dict[str, Any]:
    """Arguments for a route's decorator.

    Args:
        answer: the type of the JSON body.
        statuses: those that it comes with; 200 where none is given.
        caller: who may call.
        errors: refusals that neither the caller nor the body explains.
        form: the parameters, of a route that reads a form by itself.
        body: schemas by content type, of a route that reads another body by itself.
    """
    first, *others = statuses or (200,)
    responses: dict[int | str, dict[str, Any]] = {
        status: {"model": answer} for status in (first, *others)
    }
    for status in (*errors, *caller.refusals):
        responses.setdefault(status, _refusal(status))
    extra: dict[str, Any] = {"security": [dict(one) for one in caller.security]}
    if form is not None:
        body = {FORM: form.model_json_schema()}
    if body is not None:
        content = {media: {"schema": dict(schema)} for media, schema in body.items()}
        extra["requestBody"] = {"required": True, "content": content}
    return {"status_code": first, "responses": responses, "openapi_extra": extra}


def commits(answer: Any = CommitAnswer, **more: Any) -> dict[str, Any]:
    """As :func:`documented`, of a route that waits for the ledger: 200, or 202 where it is late."""
    return documented(answer, 200, 202, **more)


def other_media(media_type: str, schema: Mapping[str, Any]) -> dict[str, Any]:
    """Arguments for the decorator of a route for anybody that does not answer with plain JSON."""
    return {
        "response_class": Response,
        "responses": {200: {"content": {media_type: {"schema": dict(schema)}}}},
        "openapi_extra": {"security": []},
    }


def schema_of(struct: type[Struct]) -> dict[str, Any]:
    """The JSON schema of a struct, with others of which it is made in their places."""
    (reference,), schemas = schema_components((struct,), ref_template="{name}")

    def in_place(part: Any) -> Any:
        if isinstance(part, dict):
            if "$ref" in part:
                return in_place(schemas[part["$ref"]])
            return {name: in_place(member) for name, member in part.items()}
        return [in_place(one) for one in part] if isinstance(part, list) else part

    schema: dict[str, Any] = in_place(reference)
    return schema


class DocumentedApp(FastAPI):
    """An application whose document, at ``/openapi.json``, names every refusal."""

    def openapi(self) -> dict[str, Any]:
        """The document. FastAPI's own 422 is never given: it is one of our 400."""
        if self.openapi_schema is not None:
            return self.openapi_schema
        document = super().openapi()
        for path in document["paths"].values():
            for operation in path.values():
                responses = operation["responses"]
                responses.pop("422", None)
                body = operation.get("requestBody", {}).get("content", ())
                refused = _OF_A_FORM if FORM in body else _OF_A_BODY if body else ()
                if operation.get("parameters"):
                    refused = (400, *refused)
                for status in refused:
                    responses.setdefault(str(status), _refusal(status))
                operation["responses"] = dict(sorted(responses.items()))
        components = document.setdefault("components", {})
        schemas = components.setdefault("schemas", {})
        for name in ("HTTPValidationError", "ValidationError"):
            schemas.pop(name, None)
        schemas[ErrorAnswer.__name__] = ErrorAnswer.model_json_schema()
        components["securitySchemes"] = _SCHEMES
        return document


def _refusal(status: int) -> dict[str, Any]:
    reference = f"#/components/schemas/{ErrorAnswer.__name__}"
    said: dict[str, Any] = {
        "description": _MEANING[status],
        "content": {JSON: {"schema": {"$ref": reference}}},
    }
    if status == 401:
        said["headers"] = {"WWW-Authenticate": _header("string")}
    if status in (429, 503):
        said["headers"] = {"Retry-After": _header("integer")}
    return said


def _header(kind: str) -> dict[str, Any]:
    return {"required": True, "schema": {"type": kind}}
