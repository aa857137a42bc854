"""A Django service that Tocsin protects, in one file.

Run it with ``TOCSIN_FILE=orders.tocsin gunicorn examples.django_orders.service:application``.
"""

import os
from collections.abc import Callable

import django  # type: ignore[import-untyped]
from django.conf import settings  # type: ignore[import-untyped]
from django.core.wsgi import get_wsgi_application  # type: ignore[import-untyped]
from django.http import HttpRequest, HttpResponse, JsonResponse  # type: ignore[import-untyped]
from django.urls import path  # type: ignore[import-untyped]

from tocsin_verifier_agent.wsgi import Refused, TocsinMiddleware, caller, require


class AnswerRefused:
    """Makes a refusal of `require` the answer; goes into MIDDLEWARE."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        return self.get_response(request)

    def process_exception(self, request: HttpRequest, error: Exception) -> HttpResponse | None:
        if not isinstance(error, Refused):
            return None
        refusal = error.refusal
        return HttpResponse(
            refusal.content(), status=refusal.status, headers=dict(refusal.header_list())
        )


def healthz(request: HttpRequest) -> HttpResponse:
    return JsonResponse({"status": "ok"})


@require("orders:read")
def orders(request: HttpRequest) -> HttpResponse:
    found = ["A-1001", "A-1002"]
    return JsonResponse({"orders": found, "of": caller().subject, "worker": os.getpid()})


@require("orders:admin")
def clear(request: HttpRequest) -> HttpResponse:
    return JsonResponse({})


urlpatterns = [path("healthz", healthz), path("orders", orders), path("orders/all", clear)]

settings.configure(
    ROOT_URLCONF=__name__,
    ALLOWED_HOSTS=["127.0.0.1", "localhost"],
    MIDDLEWARE=[f"{__name__}.AnswerRefused"],
)
django.setup()
application = TocsinMiddleware(get_wsgi_application())  # pyright: ignore[reportArgumentType]
