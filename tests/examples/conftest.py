"""The fixture that embedders use."""

from tocsin_verifier_agent.testing import tocsin as tocsin
