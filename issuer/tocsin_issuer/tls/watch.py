"""Certificate files that are read again when they change; the last good ones outlive bad ones."""

import logging
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Final

from tocsin_issuer.tls import material
from tocsin_issuer.tls.files import TlsFiles
from tocsin_issuer.tls.material import TlsMaterial
from tocsin_schemas.errors import ConfigurationError

LOOK_S: Final = 1.0
"""How often the files are looked at, at most."""

_log = logging.getLogger(__name__)
_Stamp = tuple[tuple[int, int, int] | None, ...]


class WatchedTls:
    """``current()`` is what to use for the next handshake; it may be called from any thread.

    ``clock`` is monotonic, in seconds; ``wall_clock`` is in seconds of UTC.

    Raises:
        ConfigurationError: from the constructor, as :func:`material.load`.
    """

    def __init__(
        self,
        files: TlsFiles,
        *,
        clock: Callable[[], float] = time.monotonic,
        wall_clock: Callable[[], float] = time.time,
    ) -> None:
        self.files = files
        self._clock = clock
        self._wall_clock = wall_clock
        self._lock = threading.Lock()
        self._stamp = self._look()
        self._looked = clock()
        self._material = material.load(files)
        try:
            self._material.check_dates(wall_clock())
        except ConfigurationError as error:
            _log.error("%s: %s: %s", files.certificate, error.code, error)

    def current(self) -> TlsMaterial:
        """The same object until the files change, at most ``LOOK_S`` later than that. It never
        fails: where a file is bad or gone, the last good ones stay; where the new certificate does
        not hold now, the last good one. The log says why, once for each change.
        """
        with self._lock:
            now = self._clock()
            if now - self._looked >= LOOK_S:
                self._looked = now
                stamp = self._look()  # before the files are read: what changes later is seen next
                if stamp != self._stamp:
                    self._stamp = stamp
                    self._load()
            return self._material

    def _load(self) -> None:
        try:
            found = material.load(self.files)
        except ConfigurationError as error:
            _log.error("the certificates stay as they were: %s: %s", error.code, error)
            return
        try:
            found.check_dates(self._wall_clock())
        except ConfigurationError as error:
            _log.error("the certificate stays as it was: %s: %s", error.code, error)
            # Whom we let in does not wait for what we show.
            found = replace(self._material, client_ca=found.client_ca, demanded=found.demanded)
        if found != self._material:
            self._material = found
            _log.info("%s and what goes with it have been read again", self.files.certificate)

    def _look(self) -> _Stamp:
        files = self.files
        return tuple(
            _stamp_of(path) for path in (files.certificate, files.key, files.client_ca) if path
        )


def _stamp_of(path: Path) -> tuple[int, int, int] | None:
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_mtime_ns, status.st_size, status.st_ino
