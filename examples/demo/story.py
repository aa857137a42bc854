"""The steps of the demo, in the order in which they are told."""

from __future__ import annotations

import asyncio
import json
import time
from dataclasses import dataclass, field
from statistics import median
from typing import Any

import httpx

from examples.demo.stack import LEASE_MS, DemoFailed, Stack
from examples.demo.workers import Worker, connect_to_workers

ROUNDS = 25
LOAD_S = 2.0  # before the rotation, and again after it
PERMISSION_MARGIN_S = 1.0


@dataclass(slots=True)
class Login:
    """What a device holds after a login."""

    access: str
    refresh: str


@dataclass(slots=True)
class Story:
    """Tells each step as it happens, and keeps what was measured."""

    stack: Stack
    http: httpx.AsyncClient
    figures: dict[str, Any] = field(default_factory=dict)
    workers: list[Worker] = field(default_factory=list)
    started: float = field(default_factory=time.perf_counter)

    def say(self, text: str) -> None:
        """One line, with the seconds since the start."""
        print(f"[{time.perf_counter() - self.started:6.1f} s] {text}", flush=True)

    # --- small acts -----------------------------------------------------------------------------

    async def log_in(self, device: str) -> Login:
        """Log in on a device."""
        answer = await self.http.post(
            f"{self.stack.public_url}/v1/login",
            json={
                "username": self.stack.username,
                "password": self.stack.password,
                "device": device,
            },
        )
        expect(answer.status_code == 200, f"login answers {answer.status_code}")
        members = answer.json()
        return Login(members["access_token"], members["refresh_token"])

    async def log_out(self, login: Login, path: str = "/v1/logout") -> int:
        """Log out; the status says whether the ledger has it (200) or the outbox (202)."""
        answer = await self.http.post(
            self.stack.public_url + path, headers={"Authorization": f"Bearer {login.access}"}
        )
        return answer.status_code

    async def statuses(self, token: str) -> list[int]:
        """What each worker answers."""
        return list(await asyncio.gather(*(worker.ask(token) for worker in self.workers)))

    async def all_answer(self, status: int, token: str, timeout: float) -> float:
        """Wait until every worker has answered ``status``; when the last one did."""
        times = await asyncio.gather(
            *(worker.first(status, token, timeout) for worker in self.workers)
        )
        return max(times)

    def operator(self, *arguments: str) -> dict[str, Any]:
        """Run the command line; its last line of output is JSON."""
        done = self.stack.tocsin(*arguments)
        expect(done.returncode == 0, f"tocsin {arguments[0]}: {done.stderr.strip()}")
        members: dict[str, Any] = json.loads(done.stdout.strip().splitlines()[-1])
        return members

    # --- the steps ------------------------------------------------------------------------------

    async def two_devices(self) -> None:
        """A user logs in on two devices, and both services accept both tokens."""
        phone, laptop = await self.log_in("phone"), await self.log_in("laptop")
        self.workers = await connect_to_workers(self.stack, phone.access)
        for login in (phone, laptop):
            expect(await self.statuses(login.access) == [200] * len(self.workers), "not all 200")
        self.say(f"two devices logged in; {len(self.workers)} workers of 2 services answer 200")

    async def logout_rounds(self) -> None:
        """Device A logs out; every worker refuses A's token while B's goes on."""
        laptop = await self.log_in("laptop")
        delays: list[float] = []
        for _ in range(ROUNDS):
            phone = await self.log_in("phone")
            expect(set(await self.statuses(phone.access)) == {200}, "a fresh token is refused")
            watching = asyncio.create_task(self.all_answer(401, phone.access, 10))
            await asyncio.sleep(0.01)
            expect(await self.log_out(phone) == 200, "the logout is not in the ledger")
            accepted = time.perf_counter()
            delays.append(max(0.0, (await watching - accepted) * 1000))
            expect(set(await self.statuses(laptop.access)) == {200}, "the other device is refused")
        self.figures["logout_ms_p50"] = round(median(delays), 2)
        self.figures["logout_ms_max"] = round(max(delays), 2)
        self.say(
            f"{ROUNDS} logouts: from the 200 to the last worker's first 401 "
            f"p50 {median(delays):.1f} ms, max {max(delays):.1f} ms (0: refused before the answer)"
        )

    async def rotation(self) -> None:
        """A key rotates under steady load, and no request fails."""
        statuses: list[int] = []
        rotated, done = asyncio.Event(), asyncio.Event()
        kids: set[str] = set()

        async def load(worker: Worker) -> None:
            login = await self.log_in("load")
            fresh_after_rotation = False
            while not done.is_set():
                if rotated.is_set() and not fresh_after_rotation:
                    login, fresh_after_rotation = await self.log_in("load"), True
                kids.add(_kid_of(login.access))
                statuses.append(await worker.ask(login.access))

        async def rotate() -> None:
            await asyncio.sleep(LOAD_S)
            try:
                await asyncio.to_thread(self.operator, "keys", "rotate")
                rotated.set()
                await asyncio.sleep(LOAD_S)
            finally:
                done.set()

        await asyncio.gather(rotate(), *(load(worker) for worker in self.workers))
        failed = sum(status != 200 for status in statuses)
        self.figures["rotation_requests"] = len(statuses)
        self.figures["rotation_failed"] = failed
        self.say(f"a key rotated under load: {len(statuses)} requests, {failed} failed")
        expect(failed == 0, "requests failed during the rotation")
        expect(len(kids) == 2, "the new key did not sign")

    async def standby_ready(self) -> None:
        """Wait until the standby that the rotation published may sign: B after its PubAck."""
        for _ in range(60):
            members = await asyncio.to_thread(self.operator, "keys", "list", "--json")
            if "standby" in {key["phase"] for key in members["keys"]}:
                return
            await asyncio.sleep(0.2)
        raise DemoFailed("no key stands by")

    async def compromised_key(self) -> None:
        """The signing key is revoked as compromised, and new tokens flow from the standby."""
        await self.standby_ready()
        before = await self.log_in("phone")
        kid = _kid_of(before.access)
        began = time.perf_counter()
        await asyncio.to_thread(self.operator, "keys", "revoke", kid)
        after = await self.log_in("phone")
        flowing = time.perf_counter() - began
        await self.all_answer(401, before.access, 10)
        await self.all_answer(200, after.access, 10)
        expect(_kid_of(after.access) != kid, "the revoked key still signs")
        self.say(
            f"key {kid[:8]}… revoked as compromised: its tokens are refused everywhere, "
            f"the standby {_kid_of(after.access)[:8]}… signs {flowing * 1000:.0f} ms later"
        )

    async def everywhere(self) -> None:
        """Log out everywhere, then log in again at once."""
        logins = [await self.log_in("phone"), await self.log_in("laptop")]
        status = await self.log_out(logins[0], "/v1/logout-all")
        expect(status == 200, f"logout everywhere answers {status}")
        again = await self.log_in("phone")
        for login in logins:
            await self.all_answer(401, login.access, 10)
        expect(set(await self.statuses(again.access)) == {200}, "the new login is refused")
        self.say("logged out everywhere: both devices refused; an immediate new login works")

    async def outage(self) -> None:
        """NATS is killed: verification goes on within the lease, and refuses after it."""
        login, leaving = await self.log_in("laptop"), await self.log_in("phone")
        self.stack.nats.kill()
        killed = time.perf_counter()
        self.say("nats-server killed with -9")
        expect(set(await self.statuses(login.access)) == {200}, "refused within the lease")
        status = await self.log_out(leaving)
        expect(status == 202, f"a logout without NATS answers {status}")
        self.say("within the lease: all workers answer 200; a logout answers 202")
        stale_at = await self.all_answer(503, login.access, LEASE_MS / 1000 + 5)
        self.figures["stale_after_s"] = round(stale_at - killed, 2)
        self.figures["lease_s"] = LEASE_MS / 1000
        self.say(f"every worker answers 503 {stale_at - killed:.1f} s after the kill")
        expect(stale_at - killed <= LEASE_MS / 1000 + PERMISSION_MARGIN_S, "stale too late")
        restarted = time.perf_counter()
        self.stack.nats.start()  # from this thread: a child of another one would die with it
        recovered = await self.all_answer(200, login.access, 30)
        self.figures["recovered_s"] = round(recovered - restarted, 2)
        await self.all_answer(401, leaving.access, 10)
        self.say(
            f"nats-server is back: all workers live {recovered - restarted:.1f} s later, "
            "and the logout made meanwhile holds"
        )

    async def replayed(self) -> None:
        """The ledger is replayed from the start in a fresh process."""
        done = await asyncio.to_thread(
            self.stack.tocsin, "audit", "replay", "--file", "orders.tocsin"
        )
        print(done.stdout, end="", flush=True)
        expect(done.returncode == 0, f"the replay fails: {done.stderr.strip()}")
        summary = json.loads(done.stdout.strip().splitlines()[-1])
        live = [await self._state_of(worker) for worker in self.workers]
        equal = all(
            (one["head"], one["state_hash"]) == (summary["head"], summary["state_hash"])
            for one in live
        )
        self.figures["ledger_records"] = summary["records"]
        self.figures["replay_hash_equal"] = equal
        self.say(
            f"replayed {summary['records']} records: intact {summary['intact']}, equal {equal}"
        )
        expect(summary["intact"] and equal, "the replay does not give the live agents' state")

    async def _state_of(self, worker: Worker) -> dict[str, Any]:
        answer = await worker.connection.get(worker.url.replace(f"/{worker.service}", "/readyz", 1))
        members: dict[str, Any] = answer.json()
        return members


def expect(holds: bool, otherwise: str) -> None:
    """A step's promise.

    Raises:
        DemoFailed: it does not hold.
    """
    if not holds:
        raise DemoFailed(otherwise)


def _kid_of(token: str) -> str:
    from tocsin_schemas import jws

    return jws.parse_header(token.split(".", 1)[0]).kid
