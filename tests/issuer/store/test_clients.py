"""Confidential clients and their secrets."""

import pytest
from redis.asyncio import Redis

from tests.support.keys import public_jwk, signer
from tocsin_issuer.store import names
from tocsin_issuer.store.clients import Client, ClientStore
from tocsin_issuer.store.register import Register, Registration
from tocsin_issuer.tls.certificate_name import CertificateName
from tocsin_schemas.errors import RequestRejected


@pytest.fixture
def clients(redis: Redis) -> ClientStore:
    return ClientStore(redis)


async def test_a_secret_opens_and_is_not_stored(redis: Redis, clients: ClientStore) -> None:
    secret = await clients.create("reports", ["orders"], ["orders:read"])
    client = Client("reports", ("orders",), ("orders:read",))
    assert len(secret) == 43
    assert await clients.authenticate("reports", secret) == client
    assert await clients.find("reports") == client
    assert secret not in str(await redis.hgetall(names.CLIENT + "reports"))
    for client_id, given in [("reports", "x"), ("nobody", secret), ("reports", ""), ("", "ü")]:
        assert await clients.authenticate(client_id, given) is None


async def test_a_renewed_secret_replaces_the_old_one(clients: ClientStore) -> None:
    old = await clients.create("reports", ["orders"])
    new = await clients.renew_secret("reports")
    assert await clients.authenticate("reports", old) is None
    assert await clients.authenticate("reports", new) is not None


async def test_whatever_is_shown_has_a_generation_of_its_own(
    clients: ClientStore, register: Register
) -> None:
    """A token for what was read before it was replaced is refused, with one for what stands."""
    secret = await clients.create("reports", ["orders"])
    keys = {"keys": [public_jwk(signer("ES256", "reports"))]}
    name = CertificateName("subject_dn", "CN=named")
    await clients.create_with_certificate("named", ["orders"], name=name)
    certified = await clients.find_with_certificate_name("named")
    assert certified is not None
    read = [await clients.authenticate("reports", secret), certified[0]]
    for client_id in ("reports", "named"):
        await clients.set_keys(client_id, keys)
        signing = await clients.find_with_keys(client_id)
        assert signing is not None
        read.append(signing[0])
        read.append(await clients.authenticate(client_id, await clients.renew_secret(client_id)))
    outcomes = []
    for client in read:
        assert client is not None
        wanted = Registration("jti", "s", client.client_id, None, 600, generation=client.generation)
        try:
            await register.mint(wanted)
            outcomes.append("minted")
        except RequestRejected as rejected:
            outcomes.append(rejected.code)
    assert outcomes == ["invalid_client"] * 3 + ["minted", "invalid_client", "minted"]


async def test_a_disabled_client_is_unknown(clients: ClientStore) -> None:
    secret = await clients.create("reports", ["orders"])
    await clients.set_disabled("reports", True)
    assert await clients.authenticate("reports", secret) is None
    assert await clients.find("reports") is None
    await clients.set_disabled("reports", False)
    assert await clients.authenticate("reports", secret) is not None


async def test_what_is_refused(clients: ClientStore) -> None:
    await clients.create("reports", ["orders"])
    for client_id, audiences, code in [
        ("reports", ["orders"], "client_taken"),
        ("", ["orders"], "client_invalid"),
        ("a:b", ["orders"], "client_invalid"),
        ("other", [], "client_invalid"),
    ]:
        with pytest.raises(RequestRejected) as caught:
            await clients.create(client_id, audiences)
        assert caught.value.code == code
    for change in (clients.renew_secret("nobody"), clients.set_disabled("nobody", True)):
        with pytest.raises(RequestRejected, match="no such client"):
            await change
    assert await clients.find("nobody") is None
