"""``/admin/keys``: a keyset is drafted, and published once the roots have signed it."""

from typing import TypeVar

from fastapi import APIRouter, Request
from msgspec import ValidationError, convert, to_builtins
from starlette.responses import JSONResponse

from tocsin_issuer.http.admin_route import admin_router
from tocsin_issuer.http.answers import CommittedKeyset, DraftedKeyset
from tocsin_issuer.http.audited import about
from tocsin_issuer.http.context import IssuerContext
from tocsin_issuer.http.documented import OPERATOR, documented, schema_of
from tocsin_issuer.http.strict_body import JSON, require_content_type
from tocsin_issuer.keys.ceremonies import Ceremonies
from tocsin_issuer.keys.draft_request import DraftRequest
from tocsin_schemas import strict_json
from tocsin_schemas.errors import EncodingRejected, RequestRejected
from tocsin_schemas.signed_document import SignedDocument

_Body = TypeVar("_Body")


def ceremony_router(context: IssuerContext, ceremonies: Ceremonies) -> APIRouter:
    """``keys:write`` drafts; what is published is for the roots to say."""
    router = admin_router(context, "/admin/keys")

    @router.post(
        "/drafts",
        **documented(DraftedKeyset, 201, caller=OPERATOR, body={JSON: schema_of(DraftRequest)}),
    )
    async def draft(request: Request) -> JSONResponse:
        """Make the keys that a schedule lacks, and draft the keyset that lists them."""
        wanted = await _body(request, DraftRequest)
        return JSONResponse(to_builtins(await ceremonies.draft(wanted)), 201)

    @router.post(
        "/keysets",
        **documented(
            CommittedKeyset,
            caller=OPERATOR,
            errors=(409,),
            body={JSON: schema_of(SignedDocument)},
        ),
    )
    async def publish(request: Request) -> JSONResponse:
        """Publish a keyset."""
        emission = await ceremonies.publish(await _body(request, SignedDocument))
        about(event_id=emission.event_id)
        return JSONResponse({"event_id": emission.event_id, "status": "committed"})

    return router


async def _body(request: Request, kind: type[_Body]) -> _Body:
    require_content_type(request, JSON)
    try:
        return convert(strict_json.loads_object(await request.body()), kind)
    except EncodingRejected:
        raise RequestRejected("json_malformed", "not one strict JSON object") from None
    except ValidationError:
        raise RequestRejected("field_invalid", "a field is not known or not allowed") from None
