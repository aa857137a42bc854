"""The stores, as their own tests have them."""

from tests.issuer.store.conftest import cutoffs, register, revocations, sessions

__all__ = ["cutoffs", "register", "revocations", "sessions"]
