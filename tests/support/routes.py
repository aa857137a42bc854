"""All that an application serves."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from starlette.routing import BaseRoute, Route


def routes_of(routes: Sequence[BaseRoute]) -> Iterator[tuple[str, str]]:
    """Each method and path; of an included router, its own."""
    for route in routes:
        included = getattr(route, "original_router", None)
        if included is not None:
            yield from routes_of(included.routes)
            continue
        assert isinstance(route, Route), f"not understood here: {type(route).__name__}"
        for method in (route.methods or set()) - {"HEAD"}:
            yield method, route.path_format
