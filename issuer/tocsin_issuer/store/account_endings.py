"""What is done to an account and ends everything of it: one script each, the event first."""

from collections.abc import Callable, Mapping
from hashlib import sha256
from secrets import token_urlsafe
from typing import Any, Final

from redis.asyncio import Redis

from tocsin_issuer.endings import (
    CLIENT_DISABLED,
    CLIENT_KEYS_REPLACED,
    CLIENT_SECRET_ROTATED,
    PASSWORD_CHANGED,
    USER_DELETED,
    USER_DISABLED,
    Ending,
)
from tocsin_issuer.store import event_text, names, scripts
from tocsin_issuer.store.account_list import ALL_USERS
from tocsin_issuer.store.clients import checked_keys, credentials
from tocsin_issuer.store.event_text import Cutoff
from tocsin_issuer.store.outbox import Emission, Outbox
from tocsin_issuer.store.passwords import Passwords
from tocsin_schemas.claims import rule_until
from tocsin_schemas.errors import RequestRejected
from tocsin_schemas.events import MAX_CUTOFF_AHEAD_S, ClientRevokedBefore, SubjectRevokedBefore

# One second more than users have who log out everywhere: they cannot keep an operator out.
_AHEAD_S: Final = MAX_CUTOFF_AHEAD_S - 1
_EPOCH_MARGIN_S: Final = 3600
_SECRET_BYTES: Final = 32


class AccountEndings:
    """Each method raises ``RequestRejected`` ``cutoff_ahead`` (429) where cutoffs of one account
    follow each other too fast: wait a second, and repeat. ``max_token_life_s`` is the longest life
    of any token, ``session_absolute_s`` that of a session.
    """

    def __init__(
        self,
        redis: Redis,
        outbox: Outbox,
        passwords: Passwords,
        *,
        max_token_life_s: int,
        session_absolute_s: int,
        event_id: Callable[[], str] = event_text.new_event_id,
    ) -> None:
        self._script = scripts.EmittingScript(redis, "end_account")
        self._outbox = outbox
        self._passwords = passwords
        self._rule_life_s = rule_until(max_token_life_s)
        self._epoch_life_s = session_absolute_s + _EPOCH_MARGIN_S
        self._event_id = event_id

    async def change_password(self, sub: str, password: str) -> Emission:
        """Give the user another password.

        Raises:
            RequestRejected: ``password_invalid``, ``busy`` (503) or ``account_unknown`` (404).
        """
        hashed = await self._passwords.hash_new(password)
        return await self._user(PASSWORD_CHANGED, sub, "set", "password", hashed)

    async def disable_user(self, sub: str) -> Emission:
        """No token is minted for the user from now on.

        Raises:
            RequestRejected: ``account_unknown`` (404).
        """
        return await self._user(USER_DISABLED, sub, "set", "disabled", "1")

    async def delete_user(self, sub: str) -> Emission:
        """Forget the person. A ``sub`` that nobody has may be deleted, too."""
        return await self._user(USER_DELETED, sub, "delete", names.USERNAME, sub)

    async def disable_client(self, client_id: str) -> Emission:
        """No token is minted for the client from now on, and no session that was opened through it
        goes on, whether or not it is enabled again.

        Raises:
            RequestRejected: ``account_unknown`` (404).
        """
        return await self._client(CLIENT_DISABLED, client_id, "disabled", "1")

    async def rotate_client_secret(self, client_id: str) -> tuple[str, Emission]:
        """Replace whatever the client shows by a new secret at once: what was got with the old
        one ends as well, sessions too. The new one is shown this once.

        Raises:
            RequestRejected: ``account_unknown`` (404).
        """
        secret = token_urlsafe(_SECRET_BYTES)
        digest = sha256(secret.encode()).hexdigest()
        emission = await self._client(CLIENT_SECRET_ROTATED, client_id, *credentials(secret=digest))
        return secret, emission

    async def replace_client_keys(self, client_id: str, jwks: Mapping[str, Any]) -> Emission:
        """Replace whatever the client shows by these public keys at once: what was got with the old
        one ends as well, sessions too.

        Raises:
            RequestRejected: ``client_keys`` or ``account_unknown`` (404).
        """
        shown = credentials(jwks=checked_keys(jwks))
        return await self._client(CLIENT_KEYS_REPLACED, client_id, *shown)

    async def _user(self, ending: Ending, sub: str, *change: str) -> Emission:
        event = SubjectRevokedBefore(
            id=self._event_id(),
            reason=ending.reason,
            initiator=ending.initiator,
            sub=sub,
            before=0,
            until=0,
        )
        keys = [
            names.LAST_IAT_OF_SUBJECT + sub,
            names.CUTOFF_OF_SUBJECT + sub,
            names.USER + sub,
            names.EPOCH_OF_SUBJECT + sub,
            ALL_USERS,
        ]
        return await self._run(event, keys, change)

    async def _client(self, ending: Ending, client_id: str, *fields: str) -> Emission:
        event = ClientRevokedBefore(
            id=self._event_id(),
            reason=ending.reason,
            initiator=ending.initiator,
            client_id=client_id,
            before=0,
            until=0,
        )
        keys = [
            names.LAST_IAT_OF_CLIENT + client_id,
            names.CUTOFF_OF_CLIENT + client_id,
            names.CLIENT + client_id,
            names.EPOCH_OF_CLIENT + client_id,
        ]
        return await self._run(event, keys, ("set", *fields))

    async def _run(self, event: Cutoff, keys: list[str], change: tuple[str, ...]) -> Emission:
        answer: Any = await self._script(
            event.id,
            keys=[names.OUTBOX, *keys],
            args=[
                event_text.cutoff_opening(event),
                _AHEAD_S,
                self._rule_life_s,
                event.id,
                self._epoch_life_s,
                *change,
            ],
        )
        match answer[0]:
            case "ok":
                self._outbox.announce()
                return Emission(event.id, answer[1])
            case "cutoff_ahead":
                text = "too many cutoffs at once; repeat later"
                raise RequestRejected("cutoff_ahead", text, status=429)
            case code:
                raise RequestRejected(code, "there is no such account", status=404)
