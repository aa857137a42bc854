"""Bodies that two parsers could read in two ways are refused before a route sees them."""

from collections import Counter
from collections.abc import Callable, Coroutine, Set
from typing import Any, Final
from urllib.parse import parse_qsl

from fastapi import Request
from fastapi.routing import APIRoute
from starlette.responses import Response

from tocsin_schemas import strict_json
from tocsin_schemas.errors import EncodingRejected, RequestRejected

JSON: Final = "application/json"
FORM: Final = "application/x-www-form-urlencoded"
_MAX_PARAMETERS: Final = 32


class StrictJsonRoute(APIRoute):
    """A route whose body, if it takes one, is one strict JSON object of the right content type."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """Look at the body first, then go on as usual."""
        handle = super().get_route_handler()
        if self.body_field is None:
            return handle

        async def strict(request: Request) -> Response:
            require_content_type(request, JSON)
            try:
                strict_json.loads_object(await request.body())
            except EncodingRejected:
                raise RequestRejected("json_malformed", "not one strict JSON object") from None
            return await handle(request)

        return strict


def require_content_type(request: Request, wanted: str, status: int = 415) -> None:
    """Raises ``RequestRejected`` ``content_type`` for any other."""
    given = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if given != wanted:
        raise RequestRejected("content_type", f"the content type is {wanted}", status=status)


class ParameterRepeated(RequestRejected):
    """RFC 6749 section 3.2: no parameter may stand twice. ``names`` are those that do."""

    def __init__(self, names: Set[str]) -> None:
        super().__init__("parameter_repeated", "a parameter stands twice")
        self.names = names


async def read_form(request: Request) -> dict[str, str]:
    """The parameters of a form.

    RFC 6749 section 3.2: an empty one counts as absent, none may stand twice, and unknown ones are
    ignored by the caller. Its clients read an error from a 400 alone (section 5.2).

    Raises:
        RequestRejected: ``content_type``, ``form_malformed`` or, as ``ParameterRepeated``,
            ``parameter_repeated``.
    """
    require_content_type(request, FORM, status=400)
    try:
        pairs = parse_qsl(
            (await request.body()).decode("ascii"),
            keep_blank_values=True,
            strict_parsing=True,
            errors="strict",
            max_num_fields=_MAX_PARAMETERS,
        )
    except ValueError:
        raise RequestRejected("form_malformed", "not a form") from None
    members = dict(pairs)
    if len(members) != len(pairs):
        counted = Counter(name for name, _ in pairs)
        raise ParameterRepeated({name for name, count in counted.items() if count > 1})
    return {name: value for name, value in members.items() if value}
