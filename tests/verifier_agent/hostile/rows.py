"""Every hostile token that the project's notes list, one row each: a name, and how to build it."""

from __future__ import annotations

from tests.verifier_agent.hostile.build import Builder
from tests.verifier_agent.hostile.rows_claims import CLAIMS
from tests.verifier_agent.hostile.rows_header import HEADER
from tests.verifier_agent.hostile.rows_signatures import SIGNATURES
from tests.verifier_agent.hostile.rows_text import TEXT

ROWS: list[tuple[str, Builder]] = [*HEADER, *TEXT, *SIGNATURES, *CLAIMS]
