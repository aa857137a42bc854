"""What another service sends to have something revoked, and what it is answered."""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from tocsin_issuer.revoking.request import RevocationRequest

COMMAND_ID = "^[A-Za-z0-9_-]{16,64}$"


class RevocationCommand(BaseModel):
    """``id`` is the sender's, drawn at random. The same command with the same id is carried out
    once, however often it comes. The sender's access token stands in the header ``authorization``.
    """

    model_config = ConfigDict(extra="forbid", strict=True, hide_input_in_errors=True)

    id: Annotated[str, Field(pattern=COMMAND_ID)]
    revoke: RevocationRequest


class CommandAccepted(BaseModel):
    """200: it is in the ledger. 202: it stands in the durable outbox, and will be."""

    status: Literal[200, 202]
    event_id: str


class CommandRefused(BaseModel):
    """``status`` is as in HTTP, ``code`` is stable. Below 500 nothing was changed; with 500 and 503
    nobody knows: send it again, with the same id.
    """

    status: Annotated[int, Field(ge=400, le=599)]
    code: str
    error_description: str
