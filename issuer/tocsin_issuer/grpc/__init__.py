"""The issuer over gRPC: ``tocsin.auth.v1.Auth`` for services, beside the internal listener."""
