"""A provider for each test, on a real socket."""

from collections.abc import Iterator

import pytest

from tests.issuer.foreign.provider import Provider
from tests.issuer.foreign.provider import provider as serving


@pytest.fixture
def provider() -> Iterator[Provider]:
    with serving() as one:
        yield one
