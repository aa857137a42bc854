"""Which token is revoked since when, worked out a second time, plainly, and never forgotten.

It shares no code with the state: no buckets, no bitmaps, no ``until``. What it says once it says
for ever, so a rule that goes too early shows.
"""

from tests.simulator.population import Token
from tocsin_schemas.events import (
    AllRevokedBefore,
    ClientRevokedBefore,
    Event,
    KeyRevoked,
    KeysetPublished,
    SessionsRevoked,
    SubjectRevokedBefore,
    TokensRevoked,
)


def hits(event: Event, token: Token) -> bool:
    """Whether the event revokes the token."""
    match event:
        case TokensRevoked():
            return any(revoked.jti in token.jtis for revoked in event.tokens)
        case SessionsRevoked():
            return any(revoked.sid == token.sid for revoked in event.sessions)
        case SubjectRevokedBefore():
            return token.sub == event.sub and token.since < event.before
        case ClientRevokedBefore():
            return event.client_id in token.clients and token.since < event.before
        case AllRevokedBefore():
            return token.since < event.before
        case KeyRevoked():
            return token.kid == event.kid
        case _:
            return False


class Oracle:
    """``since`` holds the true time of the first record that revoked a token."""

    def __init__(self) -> None:
        self.since: dict[Token, int] = {}
        self._rules: list[tuple[Event, int]] = []

    def committed(self, events: tuple[Event, ...], now: int, tokens: list[Token]) -> None:
        """A record is in the ledger."""
        for event in events:
            if isinstance(event, KeysetPublished):
                continue
            self._rules.append((event, now))
            for token in tokens:
                if token not in self.since and hits(event, token):
                    self.since[token] = now

    def minted(self, token: Token) -> None:
        """A new token may be revoked already."""
        for event, at in self._rules:
            if hits(event, token):
                self.since[token] = at
                return
