"""The policy in a file, read again when it changes; the last good one outlives a bad one."""

import logging
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

from tocsin_issuer.exchange import policy
from tocsin_issuer.exchange.policy import NOTHING_ALLOWED, ExchangePolicy
from tocsin_schemas.errors import ConfigurationError

POLICY_NAME: Final = "exchange.toml"
LOOK_S: Final = 1.0
"""How often the file is looked at, at most."""

_log = logging.getLogger(__name__)
_Stamp = tuple[int, int, int]


def read_policy(path: Path) -> ExchangePolicy:
    """Read and check a file.

    Raises:
        ConfigurationError: ``exchange_policy_unreadable`` or ``exchange_policy_malformed``.
    """
    try:
        with path.open("rb") as file:
            text = file.read(policy.MAX_POLICY_BYTES + 1)
    except OSError as error:
        raise ConfigurationError(
            "exchange_policy_unreadable", f"{path}: {error.strerror}"
        ) from None
    return policy.parse(text, str(path))


class PolicyFile:
    """``current()`` is the policy in force. Where there is no file, nothing is allowed.

    ``clock`` is monotonic, in seconds.

    Raises:
        ConfigurationError: from the constructor, as :meth:`load`: an issuer must not start with a
            policy that nobody can read.
    """

    def __init__(self, path: Path, clock: Callable[[], float] = time.monotonic) -> None:
        self._path = path
        self._clock = clock
        self._policy = NOTHING_ALLOWED
        self._stamp: _Stamp | None = None
        self._looked = clock()
        self._failure: str | None = None
        if path.exists():
            self.load()

    def current(self) -> ExchangePolicy:
        """The policy, at most ``LOOK_S`` older than the file. It never fails: where the file is bad
        or gone, the last good policy stays and the log says why, once for each change.
        """
        now = self._clock()
        if now - self._looked >= LOOK_S:
            self._looked = now
            stamp = self._look()
            if stamp != self._stamp:
                try:
                    self.load()
                except ConfigurationError as error:
                    self._stamp = stamp
                    self._failure = error.code
                    _log.error("the exchange policy stays as it was: %s: %s", error.code, error)
        return self._policy

    @property
    def failure(self) -> str | None:
        """The code of why the file as it is now is not in force; None where it is."""
        return self._failure

    def load(self) -> None:
        """Read the file now.

        Raises:
            ConfigurationError: as :func:`read_policy`.
        """
        stamp = self._look()
        self._policy = read_policy(self._path)
        self._failure = None
        if self._stamp is not None:
            _log.info("the exchange policy has been read again")
        self._stamp = stamp

    def _look(self) -> _Stamp | None:
        try:
            status = self._path.stat()
        except OSError:
            return None
        return status.st_mtime_ns, status.st_size, status.st_ino
