"""The subject on which other services ask for revocations."""

from typing import Any, Final

from faststream.nats import NatsBroker, NatsMessage
from faststream.nats.annotations import NatsMessage as CurrentMessage

from tocsin_issuer.bus.command_service import CommandService
from tocsin_schemas.subjects import REVOCATION_COMMANDS

QUEUE: Final = "tocsin-issuer"
"""Of all replicas one gets a command: it is answered once."""

AT_ONCE: Final = 16
TITLE: Final = "revocation command"


class RevocationCommands:
    """Answers commands from :meth:`start` on, on a broker that is running already."""

    def __init__(self, broker: NatsBroker, service: CommandService) -> None:
        async def undecoded(message: NatsMessage) -> bytes:
            return bytes(message.body)

        self._subscriber = broker.subscriber(
            REVOCATION_COMMANDS, QUEUE, decoder=undecoded, max_workers=AT_ONCE, title=TITLE
        )

        @self._subscriber
        async def revoke(body: bytes, message: CurrentMessage) -> dict[str, Any]:
            """Revoke what another service wants revoked; answer with the event's id."""
            values = [
                text for name, text in message.headers.items() if name.lower() == "authorization"
            ]
            return await service.answer(body, values)

    async def start(self) -> None:
        """Listen."""
        await self._subscriber.start()

    async def stop(self) -> None:
        """Listen no more."""
        await self._subscriber.stop()
