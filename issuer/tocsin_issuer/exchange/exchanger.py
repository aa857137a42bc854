"""Trading a caller's token for one that another service accepts, and no other.

The derived token names the first subject token and everybody who had a hand in it, so that whatever
kills these kills it too: the session and subject stay, ``orig`` is the first subject token, and
``act`` lists every client of the chain, the one that the first token was issued to included (RFC
8693 section 4.1: prior actors are for information; the outermost one acts). Tokens between the
first one and the subject token are not named.

A token that is bound to a certificate (RFC 8705) becomes no bearer token here: it is traded by
clients alone that authenticate by a certificate themselves, for a token that is bound to theirs.
That its holder has shown it to the client is the client's own agent's business; whoever else has
got hold of it is not among those whom the policy lets receive it.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from msgspec import UNSET, to_builtins

from tocsin_issuer.exchange.policy import ClientRule, ExchangePolicy, Target
from tocsin_issuer.exchange.request import ExchangeRequest
from tocsin_issuer.minting import Derivation, TokenMinter
from tocsin_issuer.store.clients import Client
from tocsin_issuer.store.register import ACTOR_REFUSALS, PARENT_REFUSALS, REFUSALS
from tocsin_issuer.store.shown_token import ShownToken
from tocsin_schemas.errors import RequestRejected, TokenRejected
from tocsin_schemas.token_exchange import SUBJECT_TOKEN_INVALID
from tocsin_verifier_agent.core.access_token import AccessToken
from tocsin_verifier_agent.core.verified import Verified

_DEAD: Final = REFUSALS | PARENT_REFUSALS | {"subject_token_expired", "too_many_actors"}


@dataclass(frozen=True, slots=True, repr=False)
class Exchanged:
    """What the client gets; ``expires_in`` is in seconds. It speaks for ``sub`` to ``audience``."""

    token: str
    expires_in: int
    scopes: tuple[str, ...]
    sub: str
    audience: str


class TokenExchange:
    """``verify`` is the issuer's own verifier with its rules and lease, of tokens whose certificate
    is somebody else's; ``policy`` the policy in force; ``iss`` our own name; ``max_token_life_s``
    what the issuer may sign at all.
    """

    def __init__(
        self,
        policy: Callable[[], ExchangePolicy],
        verify: Callable[[str], Verified],
        minter: TokenMinter,
        *,
        iss: str,
        max_token_life_s: int,
    ) -> None:
        self._policy = policy
        self._verify = verify
        self._minter = minter
        self._iss = iss
        self._max_token_life_s = max_token_life_s

    async def exchange(self, client: Client, request: ExchangeRequest) -> Exchanged:
        """Issue the derived token.

        The policy is asked first, so that a client learns nothing about tokens that it may not
        trade. The verifier may lag behind: the register's script has the last word on revocations.

        Raises:
            RequestRejected: ``invalid_client`` where its credentials were replaced meanwhile;
                ``unauthorized_client``, ``invalid_target``, ``invalid_scope``;
                ``subject_token_invalid``, ``subject_token_bound`` or ``actor_token_invalid``, all
                ``invalid_request`` by RFC 8693 section 2.2.2.
            AgentStale: the issuer cannot prove that it is up to date.
        """
        rule = self._policy().clients.get(client.client_id)
        if rule is None:
            raise RequestRejected("unauthorized_client", "the client may not exchange tokens")
        audience, target = _target(rule, request)
        actor = None
        if request.actor_token is not None:
            actor = self._actor(client, request.actor_token)
        subject = self._subject(client, rule, request.subject_token)
        try:
            hand_back = target.pass_through and request.scopes is None
            if hand_back and audience in _aud(subject.token) and _holds(client, subject):
                return await self._hand_back(
                    client, subject, request.subject_token, audience, actor
                )
            scopes = _granted(target, subject, request.scopes)
            minted = await self._minter.mint(
                subject.subject,
                client.client_id,
                (audience,),
                sid=subject.session_id,
                scope=" ".join(scopes),
                life_s=min(target.life_s, self._max_token_life_s),
                derivation=_derivation(client, subject, request.subject_token),
                bound_to=client.bound_to,
                generation=client.generation,
                actor=actor,
            )
        except RequestRejected as rejected:
            if rejected.code in ACTOR_REFUSALS:
                raise _actor_invalid() from None
            if rejected.code not in _DEAD:
                raise
            raise _subject_invalid() from None
        return Exchanged(minted.token, minted.expires_in, scopes, subject.subject, audience)

    async def _hand_back(
        self,
        client: Client,
        subject: Verified,
        text: str,
        audience: str,
        actor: ShownToken | None,
    ) -> Exchanged:
        """The subject token, if another one could be derived from it."""
        token = subject.token
        now = await self._minter.check_parent(
            subject.subject,
            client.client_id,
            subject.session_id,
            _derivation(client, subject, text),
            client.generation,
            actor,
        )
        scopes = tuple(sorted(subject.scopes))
        return Exchanged(text, token.exp - now, scopes, subject.subject, audience)

    def _subject(self, client: Client, rule: ClientRule, text: str) -> Verified:
        """A good token that was meant for the client, and in which nobody says otherwise."""
        try:
            verified = self._verify(text)
        except TokenRejected:
            raise _subject_invalid() from None
        if verified.issuer != self._iss or set(_aud(verified.token)).isdisjoint(rule.receives):
            raise _subject_invalid()
        if not _may_act(verified.claims, client.client_id, self._iss):
            raise _subject_invalid()
        if verified.bound_to is not None and client.bound_to is None:
            raise RequestRejected(
                "subject_token_bound",
                "the subject token is bound to a certificate: only a client that authenticates by"
                " one may trade it",
            )
        return verified

    def _actor(self, client: Client, text: str) -> ShownToken:
        """RFC 8693 section 2.1: the acting party; here nobody but the client itself."""
        try:
            verified = self._verify(text)
        except TokenRejected:
            raise _actor_invalid() from None
        token = verified.token
        own = verified.issuer == self._iss and token.sub == token.client_id == client.client_id
        if (
            not own
            or token.act is not UNSET
            or token.sid is not UNSET
            or not _holds(client, verified)
        ):
            raise _actor_invalid()
        return ShownToken.of(verified, text)


def _target(rule: ClientRule, request: ExchangeRequest) -> tuple[str, Target]:
    """The one audience that is asked for, by either name or by both."""
    named = request.audience
    if request.resource is not None:
        named = rule.audience_of(request.resource)
        if request.audience is not None and named != request.audience:
            named = None
    target = None if named is None else rule.targets.get(named)
    if named is None or target is None:
        raise RequestRejected("invalid_target", "the client may not reach that target")
    return named, target


def _aud(token: AccessToken) -> tuple[str, ...]:
    return (token.aud,) if isinstance(token.aud, str) else token.aud


def _granted(target: Target, subject: Verified, asked: tuple[str, ...] | None) -> tuple[str, ...]:
    """What both the policy and the subject's token allow."""
    allowed = tuple(scope for scope in target.scopes if scope in subject.permissions)
    if asked is None:
        return allowed
    if not set(asked) <= set(allowed):
        raise RequestRejected("invalid_scope", "the scope exceeds what may be passed on")
    return asked


def _holds(client: Client, verified: Verified) -> bool:
    """Whether the client could use the token: it is bound to its certificate, or to none."""
    return verified.bound_to in (None, client.bound_to)


def _may_act(claims: dict[str, Any], client_id: str, iss: str) -> bool:
    """RFC 8693 section 4.4: where the subject token names its actor, nobody else may act."""
    if "may_act" not in claims:
        return True
    named = claims["may_act"]
    if not isinstance(named, dict) or named.get("sub") != client_id:
        return False
    return bool(named.get("iss", iss) == iss)


def _derivation(client: Client, verified: Verified, text: str) -> Derivation:
    subject = verified.token
    act: dict[str, Any] = {"sub": client.client_id}
    if subject.act is not UNSET:
        act["act"] = to_builtins(subject.act)
    elif subject.client_id not in (UNSET, client.client_id):
        act["act"] = {"sub": subject.client_id}
    return Derivation.of(verified, text, act)


def _subject_invalid() -> RequestRejected:
    """One text for every cause."""
    return RequestRejected(SUBJECT_TOKEN_INVALID, "the subject token is not valid here")


def _actor_invalid() -> RequestRejected:
    return RequestRejected("actor_token_invalid", "the actor token is not the client's own")
