"""`tocsin.auth.v1.Auth/ExchangeToken`: the answers of the token endpoint, as gRPC statuses."""

import asyncio
import base64
import time
from typing import Any

import grpc  # type: ignore[import-untyped]
import grpc.aio  # type: ignore[import-untyped]
import pytest
from google.protobuf.descriptor_pool import DescriptorPool  # type: ignore[import-untyped]
from grpc_health.v1 import health_pb2, health_pb2_grpc  # type: ignore[import-untyped]
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import (  # type: ignore[import-untyped]
    ProtoReflectionDescriptorDatabase,
)

from tests.issuer.grpc.conftest import make_listener
from tests.issuer.http.conftest import CONFIG, ISS, Issuer
from tests.issuer.http.exchange_services import Services
from tests.support.keys import public_jwk, signer
from tocsin_issuer.exchange import policy
from tocsin_issuer.grpc.listener import MAX_METADATA_BYTES, SERVICE, GrpcListener
from tocsin_issuer.store import names
from tocsin_issuer.store.audit_log import ACTS, REFUSALS
from tocsin_schemas import jws
from tocsin_schemas.auth_v1 import CODE_KEY, ERROR_KEY, RETRY_AFTER_KEY
from tocsin_schemas.auth_v1.auth_pb2 import ExchangeTokenRequest, ExchangeTokenResponse
from tocsin_schemas.auth_v1.auth_pb2_grpc import AuthStub
from tocsin_schemas.client_assertion import ASSERTION_TYPE
from tocsin_schemas.errors import ConfigurationError
from tocsin_schemas.token_exchange import ACCESS_TOKEN_TYPE, JWT_TYPE

Refusal = tuple[str, str | None]


def basic(services: Services, client: str = "orders-service") -> tuple[tuple[str, str], ...]:
    pair = f"{client}:{services.secrets[client]}".encode()
    return (("authorization", f"Basic {base64.b64encode(pair).decode()}"),)


def asked(token: str, **changes: Any) -> ExchangeTokenRequest:
    members: dict[str, Any] = {
        "subject_token": token,
        "subject_token_type": ACCESS_TOKEN_TYPE,
        "audience": ["inventory"],
    }
    return ExchangeTokenRequest(**{**members, **changes})


async def trade(
    channel: grpc.aio.Channel, request: ExchangeTokenRequest, metadata: Any = (), **options: Any
) -> ExchangeTokenResponse:
    stub = AuthStub(channel)  # type: ignore[no-untyped-call]
    answer: ExchangeTokenResponse = await stub.ExchangeToken(
        request, metadata=metadata, timeout=10, **options
    )
    return answer


async def refused(
    channel: grpc.aio.Channel, request: ExchangeTokenRequest, metadata: Any = (), **options: Any
) -> Refusal:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await trade(channel, request, metadata, **options)
    said = dict(caught.value.trailing_metadata())
    assert "retry-after" in said or caught.value.code() != grpc.StatusCode.UNAVAILABLE
    return caught.value.code().name, str(said[ERROR_KEY]) if ERROR_KEY in said else None


async def test_the_answer_and_the_token(
    services: Services, subject: dict[str, Any], channel: grpc.aio.Channel
) -> None:
    answer = await trade(channel, asked(subject["access_token"]), basic(services))
    assert (answer.issued_token_type, answer.token_type) == (ACCESS_TOKEN_TYPE, "Bearer")
    assert (answer.expires_in, answer.scope) == (300, "inventory:read")
    over_http = services.claims(await services.trade(subject["access_token"]))
    claims = services.claims(answer.access_token)
    for once in ("jti", "iat", "nbf", "exp"):
        del over_http[once], claims[once]
    assert claims == over_http


async def test_every_way_to_authenticate(
    services: Services, subject: dict[str, Any], channel: grpc.aio.Channel
) -> None:
    token, secret = subject["access_token"], services.secrets["orders-service"]
    posted = asked(token, client_id="orders-service", client_secret=secret)
    assert (await trade(channel, posted)).access_token
    key = signer("ES256", "orders-service")
    await services.issuer.clients.create_with_keys(
        "signing-service", ["orders"], jwks={"keys": [public_jwk(key)]}
    )
    claims = {
        "iss": "signing-service",
        "sub": "signing-service",
        "aud": ISS,
        "exp": int(time.time()) + 60,
        "jti": "once",
    }
    signed = asked(
        token,
        client_assertion_type=ASSERTION_TYPE,
        client_assertion=jws.sign_compact(claims, key, "JWT"),
    )
    services.policy = policy.parse(
        b'[clients.signing-service]\nreceives = ["orders"]\n'
        b"[clients.signing-service.targets.inventory]\n",
        "the test's",
    )
    assert (await trade(channel, signed)).access_token
    assert await refused(channel, signed) == ("UNAUTHENTICATED", "invalid_client"), "used twice"
    right = basic(services)
    for request, metadata, expected in (
        (asked(token), (), ("UNAUTHENTICATED", "invalid_client")),
        (asked(token), (("authorization", "Basic !"),), ("UNAUTHENTICATED", "invalid_client")),
        (asked(token), (*right, *right), ("UNAUTHENTICATED", "invalid_client")),
        (posted, right, ("INVALID_ARGUMENT", "invalid_request")),
        (
            asked(token, client_id="orders-service", client_secret="wrong"),
            (),
            ("UNAUTHENTICATED", "invalid_client"),
        ),
    ):
        assert await refused(channel, request, metadata) == expected


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"subject_token": "nonsense"}, ("INVALID_ARGUMENT", "invalid_request")),
        ({"subject_token": ""}, ("INVALID_ARGUMENT", "invalid_request")),
        ({"subject_token_type": ""}, ("INVALID_ARGUMENT", "invalid_request")),
        ({"requested_token_type": JWT_TYPE}, ("INVALID_ARGUMENT", "invalid_request")),
        ({"actor_token": "x"}, ("INVALID_ARGUMENT", "invalid_request")),
        (
            {"actor_token": "x", "actor_token_type": JWT_TYPE},
            ("INVALID_ARGUMENT", "invalid_request"),
        ),
        ({"audience": []}, ("INVALID_ARGUMENT", "invalid_request")),
        ({"audience": [""]}, ("INVALID_ARGUMENT", "invalid_request")),
        ({"audience": ["warehouse"]}, ("PERMISSION_DENIED", "invalid_target")),
        ({"audience": ["inventory", "audit"]}, ("PERMISSION_DENIED", "invalid_target")),
        ({"audience": ["inventory", "inventory"]}, ("PERMISSION_DENIED", "invalid_target")),
        ({"resource": ["a:b", "c:d"]}, ("PERMISSION_DENIED", "invalid_target")),
        (
            {"audience": ["audit"], "resource": ["https://inventory.internal/"]},
            ("PERMISSION_DENIED", "invalid_target"),
        ),
        ({"scope": "billing:read"}, ("PERMISSION_DENIED", "invalid_scope")),
        ({"subject_token": "a" * CONFIG.max_body_bytes}, ("RESOURCE_EXHAUSTED", None)),
    ],
)
async def test_requests_that_are_refused(
    services: Services,
    subject: dict[str, Any],
    channel: grpc.aio.Channel,
    changes: dict[str, Any],
    expected: Refusal,
) -> None:
    request = asked(subject["access_token"], **changes)
    assert await refused(channel, request, basic(services)) == expected


async def test_who_may_ask(
    services: Services, subject: dict[str, Any], channel: grpc.aio.Channel
) -> None:
    request = asked(subject["access_token"])
    expected = ("PERMISSION_DENIED", "unauthorized_client")
    assert await refused(channel, request, basic(services, "stranger")) == expected
    services.policy = policy.NOTHING_ALLOWED
    assert await refused(channel, request, basic(services)) == expected


async def test_the_target_by_its_resource(
    services: Services, subject: dict[str, Any], channel: grpc.aio.Channel
) -> None:
    request = asked(subject["access_token"], audience=[], resource=["https://inventory.internal/"])
    answer = await trade(channel, request, basic(services))
    assert services.claims(answer.access_token)["aud"] == "inventory"


async def test_clients_that_fail_too_often_are_told_to_wait(
    services: Services, subject: dict[str, Any], channel: grpc.aio.Channel
) -> None:
    """They are counted with those over HTTP; a good secret is never refused."""
    wrong = {"client_id": "orders-service", "client_secret": "wrong"}
    services.context.throttle._free_of_source = 2
    answer = await services.http.post("/oauth/token", data=wrong)
    assert answer.status_code == 401
    request = asked(subject["access_token"], **wrong)
    assert await refused(channel, request) == ("UNAUTHENTICATED", "invalid_client")
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await trade(channel, request)
    assert caught.value.code() == grpc.StatusCode.RESOURCE_EXHAUSTED
    said = dict(caught.value.trailing_metadata())
    assert (said[ERROR_KEY], said[CODE_KEY]) == ("slow_down", "too_many_attempts")
    assert CONFIG.login_lock_s - 5 < int(said[RETRY_AFTER_KEY]) <= CONFIG.login_lock_s
    good = asked(subject["access_token"])
    assert (await trade(channel, good, basic(services))).access_token


async def test_without_a_lease(
    services: Services, subject: dict[str, Any], channel: grpc.aio.Channel
) -> None:
    services.stale = True
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await trade(channel, asked(subject["access_token"]), basic(services))
    assert caught.value.code() == grpc.StatusCode.UNAVAILABLE
    assert dict(caught.value.trailing_metadata()) == {
        ERROR_KEY: "temporarily_unavailable",
        CODE_KEY: "agent_stale",
        RETRY_AFTER_KEY: "7",
    }


async def test_a_store_that_hangs(services: Services, subject: dict[str, Any]) -> None:
    listener = make_listener(services, grpc_timeout_s=0.2)
    listener.start()
    request = asked(subject["access_token"])
    try:
        async with grpc.aio.insecure_channel(f"127.0.0.1:{listener.port}") as channel:
            began = time.monotonic()
            await services.issuer.redis.client_pause(1000)
            said = await refused(channel, request, basic(services))
            assert 0.2 <= time.monotonic() - began < 0.9
            assert said == ("UNAVAILABLE", "temporarily_unavailable")
            await services.issuer.redis.ping()  # answered when the pause is over
            assert (await trade(channel, request, basic(services))).access_token
    finally:
        await listener.stop()


async def test_a_store_that_refuses(
    services: Services, subject: dict[str, Any], channel: grpc.aio.Channel
) -> None:
    await services.issuer.redis.delete(f"{names.CLIENT}orders-service")
    await services.issuer.redis.set(f"{names.CLIENT}orders-service", "no hash")
    said = await refused(channel, asked(subject["access_token"]), basic(services))
    assert said == ("UNAVAILABLE", "temporarily_unavailable")


async def test_a_compressed_request(
    services: Services, subject: dict[str, Any], channel: grpc.aio.Channel
) -> None:
    request = asked(subject["access_token"])
    zipped = await refused(channel, request, basic(services), compression=grpc.Compression.Gzip)
    assert zipped == ("UNIMPLEMENTED", None)


async def test_long_metadata(
    services: Services, subject: dict[str, Any], channel: grpc.aio.Channel
) -> None:
    """The limit is one number. By itself gRPC would let a quarter more through, by a throw of the
    dice that lets nearly all pass that are a little too long.
    """
    request = asked(subject["access_token"])

    def padded(length: int) -> tuple[tuple[str, str], ...]:
        return (*basic(services), ("padding", "a" * length))

    assert (await trade(channel, request, padded(MAX_METADATA_BYTES - 1024))).access_token
    for length in [*[MAX_METADATA_BYTES] * 8, 2 * MAX_METADATA_BYTES]:
        assert await refused(channel, request, padded(length)) == ("RESOURCE_EXHAUSTED", None)


async def test_a_revoked_token_is_not_traded(
    services: Services, subject: dict[str, Any], channel: grpc.aio.Channel
) -> None:
    """The verifier behind it knows no rule: the register's script has the last word."""
    request = asked(subject["access_token"])
    await trade(channel, request, basic(services))
    sid = services.claims(subject["access_token"])["sid"]
    await services.revocations.revoke_sessions([sid], "test", "admin", bound_s=1)
    expected = ("INVALID_ARGUMENT", "invalid_request")
    assert await refused(channel, request, basic(services)) == expected


async def test_a_defect_of_ours_says_nothing(
    services: Services,
    subject: dict[str, Any],
    channel: grpc.aio.Channel,
    caplog: pytest.LogCaptureFixture,
) -> None:
    services.policy = None  # type: ignore[assignment]
    expected = ("INTERNAL", "server_error")
    assert await refused(channel, asked(subject["access_token"]), basic(services)) == expected
    assert "a call failed" in caplog.text


async def test_no_token_in_any_log(
    services: Services,
    subject: dict[str, Any],
    channel: grpc.aio.Channel,
    caplog: pytest.LogCaptureFixture,
) -> None:
    token = subject["access_token"]
    answer = await trade(channel, asked(token), basic(services))
    await refused(channel, asked(token, audience=["nowhere"]), basic(services))
    await refused(channel, asked(token[:-4] + "AAAA"), basic(services))
    services.policy = None  # type: ignore[assignment]
    await refused(channel, asked(token), basic(services))
    for secret in (token, answer.access_token, services.secrets["orders-service"]):
        assert secret not in caplog.text
        assert secret.rpartition(".")[2] not in caplog.text


async def test_what_the_audit_log_says(
    issuer: Issuer, services: Services, subject: dict[str, Any], channel: grpc.aio.Channel
) -> None:
    token = subject["access_token"]
    await trade(channel, asked(token), basic(services))
    await refused(channel, asked(token, audience=["nowhere"]), basic(services))
    await refused(channel, asked(token))
    await issuer.audit_log.aclose()
    log = issuer.audit_log
    (done, *_) = (await log.page(ACTS, 1)).entries
    nobody, nowhere = (await log.page(REFUSALS, 2)).entries
    assert {one["action"] for one in (done, nobody, nowhere)} == {"token.exchange"}
    assert (done["outcome"], done["client_id"]) == ("ok", "orders-service")
    assert (done["actor"], done["target"]) == (services.claims(token)["sub"], "inventory")
    assert done["address"] == "127.0.0.1"
    assert (nowhere["outcome"], nowhere["client_id"]) == ("invalid_target", "orders-service")
    assert nobody["outcome"] == "invalid_client"
    assert not {"actor", "target"} & nowhere.keys()


async def test_health(channel: grpc.aio.Channel) -> None:
    stub: Any = health_pb2_grpc.HealthStub(channel)
    for name in ("", SERVICE):
        answer = await stub.Check(health_pb2.HealthCheckRequest(service=name))
        assert answer.status == health_pb2.HealthCheckResponse.SERVING
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await stub.Check(health_pb2.HealthCheckRequest(service="another"))
    assert caught.value.code() == grpc.StatusCode.NOT_FOUND


async def test_reflection(listener: GrpcListener) -> None:
    """A client that has no .proto reads the service from the server."""

    def look() -> tuple[list[str], list[str]]:
        with grpc.insecure_channel(f"127.0.0.1:{listener.port}") as channel:
            database = ProtoReflectionDescriptorDatabase(channel)
            service = DescriptorPool(database).FindServiceByName(SERVICE)
            return sorted(database.get_services()), [method.name for method in service.methods]

    services, methods = await asyncio.to_thread(look)
    assert SERVICE == "tocsin.auth.v1.Auth"
    assert {SERVICE, "grpc.health.v1.Health"} <= set(services)
    assert methods == ["ExchangeToken"]


async def test_a_port_that_is_taken(listener: GrpcListener, services: Services) -> None:
    with pytest.raises(ConfigurationError) as caught:
        make_listener(services, port=listener.port)
    assert caught.value.code == "port_in_use"
