"""``tocsin.auth.v1``: the issuer's gRPC service. It needs the extra ``grpc``.

``auth_pb2`` and ``auth_pb2_grpc`` are made from ``auth.proto`` when the package is built.
"""

from typing import Final

# The trailing metadata of a refusal.
ERROR_KEY: Final = "tocsin-error"
CODE_KEY: Final = "tocsin-code"
RETRY_AFTER_KEY: Final = "retry-after"
