"""The valkey-server configuration as text.

`appendfsync always`: an acknowledged write survives a power cut, which `everysec` does not.
`noeviction`: a full server refuses writes instead of forgetting sessions and outbox entries.
`save ""`: the append-only file is the one copy.
"""

from __future__ import annotations

from dataclasses import dataclass, field

_TEMPLATE = """\
bind {bind}
port {port}
protected-mode yes
requirepass {password}
enable-debug-command no
enable-module-command no
hide-user-data-from-log yes
daemonize no
dir {folder}
save ""
appendonly yes
appendfsync always
no-appendfsync-on-rewrite no
maxmemory-policy noeviction
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class ValkeyConfig:
    """What differs between two servers. ``folder`` needs no quoting: it is `.` or a mount."""

    bind: str
    port: int
    folder: str
    password: str = field(repr=False)

    def render(self) -> str:
        """The text of the configuration file: a secret, since it holds the password."""
        return _TEMPLATE.format(
            bind=self.bind, port=self.port, folder=self.folder, password=self.password
        )
