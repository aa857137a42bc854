"""``tocsin.auth.v1``: the issuer's gRPC service. It needs the extra ``grpc``.

``auth_pb2`` and ``auth_pb2_grpc`` are made from ``auth.proto`` when the package is built.
"""
