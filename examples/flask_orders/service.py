"""A Flask service that Tocsin protects.

Run it with ``TOCSIN_FILE=orders.tocsin gunicorn --workers 2 examples.flask_orders.service:app``.
"""

import os
import time
from collections.abc import Iterator

from flask import Flask, Response

from tocsin_verifier_agent.wsgi import Refused, TocsinMiddleware, caller, require

app = Flask(__name__)


@app.errorhandler(Refused)
def refused(error: Refused) -> Response:
    refusal = error.refusal
    return Response(refusal.content(), refusal.status, refusal.header_list())


@app.get("/healthz")
def healthz() -> dict[str, str]:
    return {"status": "ok"}


@app.get("/orders")
@require("orders:read")
def orders() -> dict[str, object]:
    return {"orders": ["A-1001", "A-1002"], "of": caller().subject, "worker": os.getpid()}


@app.post("/orders")
@require("orders:write", max_staleness=15)
def order() -> dict[str, object]:
    """An order moves money: it demands a proof that is at most 15 seconds old."""
    return {"ordered": "A-1003", "by": caller().subject}


@app.get("/orders/feed")
@require("orders:read")
def feed() -> Response:
    """A stream: it breaks off in the middle when the caller's token is revoked."""

    def lines() -> Iterator[str]:
        while True:
            yield "data: A-1001\n\n"
            time.sleep(0.1)

    return Response(lines(), mimetype="text/event-stream")


@app.delete("/orders")
@require("orders:admin")
def clear() -> dict[str, str]:
    return {}


app.wsgi_app = TocsinMiddleware(app.wsgi_app)  # type: ignore[method-assign]
