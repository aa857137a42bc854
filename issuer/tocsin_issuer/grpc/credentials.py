"""The listener's certificates, asked for before each handshake: they change without a restart."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

import grpc  # type: ignore[import-untyped]


class Certificates(Protocol):
    """PEM texts that belong together; ``client_ca`` are the authorities of clients' certificates.

    ``demanded`` is whether every client must show one. gRPC cannot leave that to the client: where
    it is not demanded it is not asked for.
    """

    @property
    def certificate_chain(self) -> bytes: ...  # noqa: D102

    @property
    def private_key(self) -> bytes: ...  # noqa: D102

    @property
    def client_ca(self) -> bytes | None: ...  # noqa: D102

    @property
    def demanded(self) -> bool: ...  # noqa: D102


def server_credentials(current: Callable[[], Certificates]) -> grpc.ServerCredentials:
    """``current`` is called from gRPC's own threads; it gives the same object until there are new
    ones. Whether certificates are demanded is decided once.
    """
    shown = current()

    def changed() -> grpc.ServerCertificateConfiguration | None:
        nonlocal shown
        found = current()
        if found is shown:
            return None
        shown = found
        return _configuration(found)

    return grpc.dynamic_ssl_server_credentials(
        _configuration(shown),
        changed,  # pyright: ignore[reportArgumentType]  # None is for no change
        require_client_authentication=shown.demanded,
    )


def _configuration(certificates: Certificates) -> grpc.ServerCertificateConfiguration:
    pair = (certificates.private_key, certificates.certificate_chain)
    authorities = certificates.client_ca if certificates.demanded else None
    return grpc.ssl_server_certificate_configuration([pair], root_certificates=authorities)
