"""Rules that are in force while verification is timed: some of each kind, none of which hits."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path

from tocsin_schemas.events import (
    Event,
    RevokedSession,
    RevokedToken,
    SessionsRevoked,
    SubjectRevokedBefore,
    TokensRevoked,
)

FOREIGN_JTI = "somebody-elses"


def revoke_some(folder: Path) -> None:
    """A token, a session and a user, as an operator does it."""
    exp = str(int(time.time()) + 900)
    for what in (
        ["--jti", FOREIGN_JTI, "--exp", exp],
        ["--session", "z" * 22],
        ["--subject", "u_" + "z" * 22],
    ):
        command = [str(Path(sys.executable).with_name("tocsin")), "revoke", *what]
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
        if done.returncode:
            raise SystemExit(f"cannot revoke: {done.stderr or json.dumps(done.stdout)}")


def some_events(now: int) -> list[Event]:
    """The same, for a ledger in memory."""
    until = now + 900
    token, session = RevokedToken(FOREIGN_JTI, until), RevokedSession("z" * 22, until)
    subject = "u_" + "z" * 22
    return [
        TokensRevoked(id="t", reason="benchmark", initiator="system", tokens=(token,)),
        SessionsRevoked(id="s", reason="benchmark", initiator="system", sessions=(session,)),
        SubjectRevokedBefore(
            id="u", reason="benchmark", initiator="system", sub=subject, before=now, until=until
        ),
    ]
