"""The ledger key that a sequencer candidate signs with: one that the keyset in force allows now."""

from __future__ import annotations

from collections.abc import Callable

from tocsin_issuer.keys.key_store import KeyStore
from tocsin_issuer.keys.signer import PrivateKeySigner
from tocsin_revocation_bus.core.replica import Replica
from tocsin_schemas.errors import ConfigurationError
from tocsin_schemas.keyset import Keyset


class LedgerKey:
    """A :class:`tocsin_schemas.jws.Signer` that goes along with the ledger: a keyset that replaces
    the key, or its revocation, counts from the next signature on.

    ``first`` is the keyset that counts while the ledger has none; ``wall_clock`` seconds of UTC.
    """

    def __init__(
        self,
        store: KeyStore,
        replica: Replica,
        first: Keyset,
        wall_clock: Callable[[], float],
    ) -> None:
        self._store = store
        self._replica = replica
        self._first = first
        self._wall_clock = wall_clock
        self._loaded: dict[str, PrivateKeySigner] = {}

    @property
    def kid(self) -> str:
        """The RFC 7638 thumbprint."""
        return self._current().kid

    @property
    def alg(self) -> str:
        """The JWS algorithm."""
        return self._current().alg

    def sign(self, data: bytes) -> bytes:
        """The JWS signature over ``data``.

        Raises:
            ConfigurationError: ``key_missing``, as for the properties.
        """
        return self._current().sign(data)

    def _current(self) -> PrivateKeySigner:
        keyset = self._replica.trust.keyset or self._first
        now, revoked = self._wall_clock(), self._replica.state.revoked_keys
        held: set[str] | None = None
        for key in keyset.keys:
            if key.use != "ledger" or key.kid in revoked:
                continue
            if not key.sign_from <= now <= key.sign_until:
                continue
            if key.kid in self._loaded:
                return self._loaded[key.kid]
            held = set(self._store.kids()) if held is None else held
            if key.kid in held:
                self._loaded[key.kid] = self._store.load(key.kid)
                return self._loaded[key.kid]
        raise ConfigurationError("key_missing", f"{self._store.path}: no ledger key may sign")
