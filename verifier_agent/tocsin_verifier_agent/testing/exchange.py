"""An issuer's token exchange in memory: what a service under test exchanges tokens with."""

from __future__ import annotations

from typing import Any, Final

from tocsin_schemas import base64url, jws, strict_json
from tocsin_schemas.errors import ExchangeRefused, ExchangeUnavailable
from tocsin_verifier_agent.exchange.transport import ExchangedToken, Question
from tocsin_verifier_agent.testing.issuer import LocalIssuer

LIFE_S: Final = 300


class LocalExchange:
    """An :class:`ExchangeTransport`: the tokens that it derives die with those that they are from.

    ``asked`` are the audiences that it was asked for, in order; ``refusal``, while it is set, is
    what every question is answered with. Everybody may exchange everything.
    """

    def __init__(self, issuer: LocalIssuer, client_id: str = "service.test") -> None:
        self._issuer = issuer
        self._client_id = client_id
        self.asked: list[str] = []
        self.refusal: ExchangeRefused | ExchangeUnavailable | None = None

    async def open(self) -> None:
        """Nothing."""

    async def close(self) -> None:
        """Nothing."""

    async def exchange(self, question: Question) -> ExchangedToken:
        """Derive a token."""
        self.asked.append(question.audience)
        if self.refusal is not None:
            raise self.refusal
        subject = strict_json.loads_object(base64url.decode(jws.split(question.subject_token)[1]))
        scopes = question.scopes
        if scopes is None:
            scopes = (*subject.get("perms", ()), *str(subject.get("scope", "")).split())
        life_s = min(LIFE_S, subject["exp"] - int(self._issuer.clock.wall()))
        token = self._issuer.mint(
            subject["sub"],
            scope=" ".join(scopes),
            aud=question.audience,
            expires_in=life_s,
            sid=subject.get("sid"),
            client_id=self._client_id,
            act=self._act(subject),
            orig=subject.get("orig", {"jti": subject["jti"], "iat": subject["iat"]}),
        )
        return ExchangedToken(token, frozenset(scopes), life_s)

    def _act(self, subject: dict[str, Any]) -> dict[str, Any]:
        behind = subject.get("act", {"sub": subject["client_id"]})
        return {"sub": self._client_id, "act": behind}
