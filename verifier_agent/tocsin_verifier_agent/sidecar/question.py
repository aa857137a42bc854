"""What goes over the socket between a service and the sidecar: POST `/verify`, JSON both ways."""

from typing import Annotated, Final

from msgspec import Meta, Struct, json

from tocsin_schemas.keyset import Thumbprint
from tocsin_verifier_agent.core.leniency import OnStale
from tocsin_verifier_agent.core.verified import Verified

VERIFY_PATH: Final = "/verify"
READY_PATH: Final = "/readyz"
MAX_QUESTION_BYTES: Final = 64 * 1024
MAX_ANSWER_BYTES: Final = 64 * 1024


class Question(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """As the arguments of :meth:`Authenticator.authenticate`; the certificate by its thumbprint.

    Without ``may_ask`` the issuer is not asked, as in :meth:`Authenticator.verify`.
    """

    token: str
    max_staleness: Annotated[float, Meta(ge=0, le=1_000_000)] | None = None
    on_stale: OnStale | None = None
    certificate: Thumbprint | None = None
    may_ask: bool = True

    def __repr__(self) -> str:
        return "Question()"


class Accepted(Struct, frozen=True, forbid_unknown_fields=True):
    """200. ``valid_for`` is in seconds from when the question was answered: the asking process has
    another start, and may have been stopped in between.
    """

    verified: Verified
    valid_for: Annotated[float, Meta(ge=0, le=2**31)]


class Refused(Struct, frozen=True, forbid_unknown_fields=True):
    """401 or 503, with the code of the error that the agent raised; ``retry_after`` in seconds."""

    code: Annotated[str, Meta(pattern=r"^[a-z0-9_]{1,64}\Z")]
    retry_after: Annotated[int, Meta(ge=0, le=86_400)] = 1


encode = json.Encoder().encode
decode_question = json.Decoder(Question).decode
decode_accepted = json.Decoder(Accepted).decode
decode_refused = json.Decoder(Refused).decode
