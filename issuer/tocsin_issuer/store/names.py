"""The names of all keys in Redis. Everything that can be guessed or typed by a user stands last.

One primary with replicas is what this is made for: scripts touch keys of several users at once, and
name some from what they read, so that a cluster with slots cannot run them.
"""

from typing import Final

_PREFIX: Final = "tocsin:"

OUTBOX: Final = _PREFIX + "outbox"
REJECTED: Final = _PREFIX + "outbox-rejected"
"""What no verifier would have accepted, kept aside with the reason."""

JOURNAL: Final = _PREFIX + "journal"
JOURNAL_BYTES: Final = _PREFIX + "journal-bytes"
JOURNAL_DRAFT: Final = _PREFIX + "journal-draft"
CHECKPOINT: Final = _PREFIX + "checkpoint"

AUDIT_LOG: Final = _PREFIX + "audit-log:"
"""By ``acts`` and ``refusals``."""

COMMAND: Final = _PREFIX + "command:"
"""By a command's id and the client that sent it: what came of it."""

DENIED: Final = _PREFIX + "denied:"
"""By jti: the projection of revoked tokens, for consumers that have no agent."""

REGISTER: Final = _PREFIX + "jti:"
SESSION: Final = _PREFIX + "session:"
SESSION_TOKENS: Final = _PREFIX + "session-tokens:"
REUSED_SESSION: Final = _PREFIX + "session-reused:"
"""By sid: whose a session was that a refresh token has ended which came twice. For a minute."""

LAST_IAT_OF_ALL: Final = _PREFIX + "last-iat:all"
LAST_IAT_OF_SUBJECT: Final = _PREFIX + "last-iat:sub:"
LAST_IAT_OF_CLIENT: Final = _PREFIX + "last-iat:client:"
CUTOFF_OF_ALL: Final = _PREFIX + "cutoff:all"
CUTOFF_OF_SUBJECT: Final = _PREFIX + "cutoff:sub:"
CUTOFF_OF_CLIENT: Final = _PREFIX + "cutoff:client:"

EPOCH_OF_ALL: Final = _PREFIX + "session-epoch:all"
EPOCH_OF_SUBJECT: Final = _PREFIX + "session-epoch:sub:"
EPOCH_OF_CLIENT: Final = _PREFIX + "session-epoch:client:"
"""A session whose epoch is not the current one is dead; no scan is needed to end them all."""

REFRESHES: Final = _PREFIX + "refreshes"
"""How many refreshes have been answered."""

PRIMARY: Final = _PREFIX + "primary"
"""The server that they were counted on, by its replication id."""

USER: Final = _PREFIX + "user:"
USERNAME: Final = _PREFIX + "username:"
THROTTLE: Final = _PREFIX + "throttle:"
KNOWN_SOURCE: Final = _PREFIX + "known-source:"
"""By account and source: a login from there was good. Both by digest."""

CLIENT: Final = _PREFIX + "client:"

ACTIVE_KEY: Final = _PREFIX + "keys:active"
ACKED_KEYS: Final = _PREFIX + "keys:acked"
"""By kid: when the first keyset that lists it got its PubAck, in seconds of UTC."""

REVOKED_KEYS: Final = _PREFIX + "keys:revoked"
"""Kids, from the moment that their revocation is accepted, and for good."""

KEY_TURNS: Final = _PREFIX + "keys:turns"
"""The journal of rotations: which key took over from which, when and why."""
