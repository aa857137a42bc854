"""A private folder, held by one process: state, logs and secrets of a server or of the issuer."""

from __future__ import annotations

import contextlib
import fcntl
import os
import stat
import time
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from tocsin_schemas.errors import ConfigurationError

LOCK_NAME: Final = "lock"

LOCK_GRACE: Final = 1.0
"""Seconds to wait for a lock: the server of a parent that was just killed is still dying."""

_LOCK_POLL: Final = 0.01


class DataDir:
    """A folder of mode 700 with one holder at a time.

    nats-server does not lock its store, and two servers on one store destroy it; so the lock is
    ours. It is an flock on an open file: the kernel drops it when the last process that has the
    file open is gone, however it ended. The server inherits it (`lock_fd`), so that a folder stays
    taken while an orphan of a killed parent still lives.
    """

    def __init__(self, path: Path) -> None:
        self.path = path.absolute()
        self._lock_fd: int | None = None

    def __repr__(self) -> str:
        return f"DataDir({str(self.path)!r}, held={self.held})"

    @property
    def held(self) -> bool:
        """Whether this object holds the lock."""
        return self._lock_fd is not None

    @property
    def lock_fd(self) -> int:
        """The descriptor of the lock, for a child to inherit."""
        if self._lock_fd is None:
            raise RuntimeError("the data directory is not held")
        return self._lock_fd

    def acquire(self) -> None:
        """Create the folder and take its lock; does nothing if this object holds it already.

        Raises `ConfigurationError` `data_dir_in_use` if another holder lives, and
        `data_dir_unusable` if the folder cannot be made ours alone.
        """
        if self._lock_fd is not None:
            return
        try:
            self.path.mkdir(mode=0o700, parents=True, exist_ok=True)
            # mkdir leaves the mode of an existing folder alone and obeys the umask.
            self.path.chmod(0o700)
            flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
            lock_fd = os.open(self.path / LOCK_NAME, flags, 0o600)
        except OSError as error:
            raise ConfigurationError(
                "data_dir_unusable", f"cannot use {self.path} as a data directory: {error.strerror}"
            ) from error
        try:
            self._lock(lock_fd)
        except BaseException:
            os.close(lock_fd)
            raise
        self._lock_fd = lock_fd

    def release(self) -> None:
        """Let the folder go. Closing, not LOCK_UN: a child that still lives keeps its share."""
        if self._lock_fd is not None:
            os.close(self._lock_fd)
            self._lock_fd = None

    def write_private(self, name: str, text: str) -> Path:
        """Replace a file of mode 600 in one step, so that no reader sees half a secret."""
        path = self.path / name
        draft = self.path / f"{name}.new"
        with contextlib.suppress(FileNotFoundError):
            draft.unlink()
        fd = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        with os.fdopen(fd, "w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        draft.replace(path)
        self._sync_names()
        return path

    def move_private(self, name: str, to: str) -> None:
        """Put one file in the place of another, in one step."""
        (self.path / name).replace(self.path / to)
        self._sync_names()

    def remove(self, name: str) -> None:
        """Remove a file, if it is there."""
        (self.path / name).unlink(missing_ok=True)
        self._sync_names()

    def read_private(self, name: str) -> str | None:
        """The text of a private file, or None if there is none.

        Raises `ConfigurationError` `secret_file_open` if others may read it: what it holds must
        then count as known, and going on would hide that.
        """
        path = self.path / name
        try:
            fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
        except FileNotFoundError:
            return None
        with os.fdopen(fd, encoding="utf-8") as file:
            if stat.S_IMODE(os.fstat(file.fileno()).st_mode) & 0o077:
                raise ConfigurationError(
                    "secret_file_open",
                    f"{path} may be read by others: delete it to have a new secret made, "
                    "or set its mode to 600",
                )
            return file.read()

    @contextlib.contextmanager
    def open_log(self, name: str) -> Iterator[int]:
        """A descriptor that appends to a log of mode 600."""
        flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC | os.O_NOFOLLOW
        fd = os.open(self.path / name, flags, 0o600)
        try:
            yield fd
        finally:
            os.close(fd)

    def _lock(self, lock_fd: int) -> None:
        deadline = time.monotonic() + LOCK_GRACE
        while True:
            try:
                fcntl.flock(lock_fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
                return
            except BlockingIOError:
                if time.monotonic() > deadline:
                    raise ConfigurationError(
                        "data_dir_in_use",
                        f"the data directory {self.path} is in use by another Tocsin process",
                    ) from None
            time.sleep(_LOCK_POLL)

    def _sync_names(self) -> None:
        """Make a rename durable: credentials that vanish in a power cut lock every client out."""
        fd = os.open(self.path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(fd)
        finally:
            os.close(fd)

    def __enter__(self) -> Self:
        self.acquire()
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.release()
