"""What docs/adapters.md shows is in the examples, and those run in tests."""

from __future__ import annotations

import re

from tests.verifier_agent.adapters.processes import ROOT

TEXT = (ROOT / "docs" / "adapters.md").read_text()
TESTS = "".join(
    path.read_text() for path in (ROOT / "tests").rglob("*.py") if path.name != "test_docs.py"
)


def test_every_snippet_is_in_an_example_that_a_test_runs() -> None:
    pieces = re.split(r"^From `(examples/[\w/]+\.py)`:$", TEXT, flags=re.MULTILINE)
    assert "```" not in pieces[0]
    shown = 0
    for name, section in zip(pieces[1::2], pieces[2::2], strict=True):
        example = (ROOT / name).read_text()
        for snippet in re.findall(r"^```python\n(.*?)^```$", section, re.DOTALL | re.MULTILINE):
            assert snippet in example, f"{name} does not say:\n{snippet}"
            shown += 1
        module = name.removesuffix(".py").replace("/", ".")
        assert module in TESTS or module.replace(".app", ".service") in TESTS, name
    assert shown == TEXT.count("```") // 2
