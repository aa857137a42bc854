"""A FastStream service that Tocsin protects: requests and messages over NATS.

Run it with ``TOCSIN_FILE=orders.tocsin faststream run examples.faststream_orders.service:app``.
"""

import os
from typing import Annotated

from faststream import Depends, FastStream
from faststream.nats import NatsBroker
from faststream.nats.security import NatsNKey
from pydantic import BaseModel

from tocsin_verifier_agent import Verified
from tocsin_verifier_agent.faststream import TocsinMiddleware, require

CREDENTIALS = os.environ.get("NATS_CREDENTIALS")
broker = NatsBroker(
    os.environ.get("NATS_URL", "nats://127.0.0.1:4222"),
    security=None if CREDENTIALS is None else NatsNKey.from_file(CREDENTIALS),
    middlewares=[TocsinMiddleware()],
    logger=None,  # by default FastStream logs what it is sent
)
app = FastStream(broker)


class Order(BaseModel):
    item: str


@broker.subscriber("orders.place", queue="orders")
async def place(
    order: Order, caller: Annotated[Verified, Depends(require("orders:write"))]
) -> dict[str, str]:
    return {"ordered": order.item, "by": caller.subject}
