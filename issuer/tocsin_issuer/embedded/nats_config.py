"""The nats-server configuration as text: who may say what on the bus, wherever it runs.

CORE holds the ledger and the sequencers; its user may do everything. EDGE holds the agents, and
has no JetStream: what an agent may reach is what CORE exports and its permissions allow, which is
the republished ledger, reading the stored ledger, asking for the time, and asking for a revocation,
which the issuer carries out for whoever has a token that says so.

The two accounts are the fence, not the permissions alone. NATS does not check a *reply* subject
against permissions, so within one account any allowed request could write into the ledger by
naming a ledger subject as its reply. Across a service export the answer is delivered in the
caller's account, where no stream listens.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from tocsin_schemas.errors import ConfigurationError
from tocsin_schemas.subjects import CLOCK_SYNC, DIRECT_GET, EDGE_SUBJECTS, REVOCATION_COMMANDS

_PUBLIC_USER_NKEY = re.compile(r"U[A-Z2-7]{55}")

# `response_type: stream` twice: a batched direct get answers with many messages, and a clock sync
# is answered by each sequencer candidate; the default passes one message and drops the rest. A
# command has one answer.
# `"always"` is quoted because the option is a duration, and this word is the exception in it.
# The login timeout is raised from 2 s, for a thousand agents may return at once.
_TEMPLATE = """\
server_name: "{server_name}"
listen: "{host}:{port}"
http: "{monitoring}"
{ports_file}
jetstream {{
  store_dir: "{store_dir}"
  sync_interval: "always"
}}

authorization {{ timeout: 10 }}
system_account: "SYS"

accounts {{
  SYS {{}}

  CORE {{
    jetstream: enabled
    users: [ {{ nkey: "{core_nkey}" }} ]
    exports: [
      {{ stream: "{edge_subjects}", accounts: ["EDGE"] }}
      {{ service: "{direct_get}", response_type: "stream", accounts: ["EDGE"] }}
      {{ service: "{clock_sync}", response_type: "stream", accounts: ["EDGE"] }}
      {{ service: "{commands}", accounts: ["EDGE"] }}
    ]
  }}

  EDGE {{
    users: [
      {{
        nkey: "{edge_nkey}"
        permissions: {{
          publish: {{ allow: ["{direct_get}", "{clock_sync}", "{commands}"] }}
          subscribe: {{ allow: ["{edge_subjects}", "_INBOX.>"] }}
        }}
      }}
    ]
    imports: [
      {{ stream: {{ account: "CORE", subject: "{edge_subjects}" }} }}
      {{ service: {{ account: "CORE", subject: "{direct_get}" }} }}
      {{ service: {{ account: "CORE", subject: "{clock_sync}" }} }}
      {{ service: {{ account: "CORE", subject: "{commands}" }} }}
    ]
  }}
}}
"""

_PORTS_FILE = 'ports_file_dir: "{place.ports_file_dir}"\n'


@dataclass(frozen=True, slots=True, kw_only=True)
class NatsPlace:
    """Where a server runs: our own constants, never input. Relative paths are to its folder."""

    server_name: str
    host: str
    monitoring: str
    store_dir: str
    ports_file_dir: str | None = None


EMBEDDED: Final = NatsPlace(
    server_name="tocsin-embedded",
    host="127.0.0.1",
    monitoring="127.0.0.1:-1",
    store_dir="jetstream",
    ports_file_dir=".",
)
"""A child process on loopback, which announces its ports in a file."""

CONTAINER: Final = NatsPlace(
    server_name="tocsin",
    host="0.0.0.0",  # noqa: S104 - who reaches a container is its networks' matter
    monitoring="127.0.0.1:8222",
    store_dir="/data",
)
"""A container; only its own health check asks the monitoring port, which knows no login."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NatsConfig:
    """What differs between two servers.

    Only public keys come in: whoever reads the configuration cannot log in with it.
    Raises `ConfigurationError` `nats_config_invalid`.
    """

    port: int
    core_nkey: str
    edge_nkey: str
    place: NatsPlace = EMBEDDED

    def __post_init__(self) -> None:
        if not 0 < self.port < 65536:
            raise ConfigurationError("nats_config_invalid", f"{self.port} is not a TCP port")
        for nkey in (self.core_nkey, self.edge_nkey):
            if not _PUBLIC_USER_NKEY.fullmatch(nkey):
                raise ConfigurationError(
                    "nats_config_invalid", "a NATS user needs a public nkey that starts with U"
                )
        if self.core_nkey == self.edge_nkey:
            raise ConfigurationError(
                "nats_config_invalid", "CORE and EDGE need different nkeys: one key is one account"
            )

    def render(self) -> str:
        """The text of the configuration file."""
        place = self.place
        ports_file = "" if place.ports_file_dir is None else _PORTS_FILE.format(place=place)
        return _TEMPLATE.format(
            server_name=place.server_name,
            host=place.host,
            port=self.port,
            monitoring=place.monitoring,
            ports_file=ports_file,
            store_dir=place.store_dir,
            core_nkey=self.core_nkey,
            edge_nkey=self.edge_nkey,
            edge_subjects=EDGE_SUBJECTS,
            direct_get=DIRECT_GET,
            clock_sync=CLOCK_SYNC,
            commands=REVOCATION_COMMANDS,
        )
