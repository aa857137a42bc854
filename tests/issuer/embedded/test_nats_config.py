"""The configuration is text from a few checked values."""

from __future__ import annotations

import pytest

from tocsin_issuer.embedded import NatsConfig
from tocsin_schemas.errors import ConfigurationError

CORE = "U" + "A" * 55
EDGE = "U" + "B" * 55


def test_the_same_values_give_the_same_text() -> None:
    text = NatsConfig(port=4222, core_nkey=CORE, edge_nkey=EDGE).render()
    assert text == NatsConfig(port=4222, core_nkey=CORE, edge_nkey=EDGE).render()
    assert 'listen: "127.0.0.1:4222"' in text
    assert (text.count(CORE), text.count(EDGE)) == (1, 1)


@pytest.mark.parametrize(
    ("port", "core", "edge"),
    [
        (0, CORE, EDGE),
        (65536, CORE, EDGE),
        (4222, "S" + CORE, EDGE),
        (4222, CORE, EDGE[:-1]),
        (4222, CORE, EDGE[:-1] + '"'),
        (4222, CORE, EDGE + "\n"),
        (4222, CORE, CORE),
    ],
)
def test_values_that_do_not_belong_there_are_refused(port: int, core: str, edge: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        NatsConfig(port=port, core_nkey=core, edge_nkey=edge)
    assert caught.value.code == "nats_config_invalid"
    assert core not in str(caught.value)
