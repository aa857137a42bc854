"""Embedded in a service: verifies access tokens with no network call, and refuses when it cannot
prove that it is up to date.
"""

from tocsin_schemas.errors import AgentStale, ConfigurationError, TocsinError, TokenRejected
from tocsin_verifier_agent.agent import AgentConfig, VerifierAgent
from tocsin_verifier_agent.core.verified import Verified
from tocsin_verifier_agent.verifier import Verifier

__all__ = [
    "AgentConfig",
    "AgentStale",
    "ConfigurationError",
    "TocsinError",
    "TokenRejected",
    "Verified",
    "Verifier",
    "VerifierAgent",
]
