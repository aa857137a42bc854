"""The listener's certificates, asked for before each handshake: they change without a restart."""

from __future__ import annotations

from collections.abc import Callable

import grpc  # type: ignore[import-untyped]

from tocsin_issuer.tls.material import TlsMaterial


def server_credentials(current: Callable[[], TlsMaterial]) -> grpc.ServerCredentials:
    """``current`` is called from gRPC's own threads; it gives the same object until there are new
    ones. Whether clients' certificates are demanded is decided once. gRPC cannot leave it to the
    client: where they are not demanded, they are not asked for.
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


def _configuration(found: TlsMaterial) -> grpc.ServerCertificateConfiguration:
    pair = (found.private_key, found.certificate_chain)
    authorities = found.client_ca if found.demanded else None
    return grpc.ssl_server_certificate_configuration([pair], root_certificates=authorities)
