"""Ways to get a header of the sidecar's past a proxy, as far as backends would fall for them."""

from collections.abc import Iterator

from tocsin_verifier_agent.sidecar import headers

FORGED = "forged"
# Everything but letters, digits and the dash that RFC 9110 section 5.6.2 allows in a name.
PUNCTUATION = "!#$%&'*+.^_`|~"


def attempts() -> Iterator[tuple[str, list[tuple[str, str]]]]:
    """What it is called, and the headers of one request."""
    for name in headers.NAMES:
        yield name, [(name, FORGED)]
        yield f"{name} in lower case", [(name.lower(), FORGED)]
        yield f"{name} in upper case", [(name.upper(), FORGED)]
        yield f"{name} twice", [(name, FORGED), (name.lower(), FORGED)]
        yield f"{name} empty, then not", [(name, ""), (name, FORGED)]
        for sign in PUNCTUATION:
            yield f"{name} with {sign}", [(name.replace("-", sign), FORGED)]
        first, rest = name.split("-", 1)
        yield f"{name}, half of it", [(f"{first}_{rest}", FORGED)]
        yield f"{name}, the other half", [(name[::-1].replace("-", "_", 1)[::-1], FORGED)]
    yield "all of them", [(name, FORGED) for name in headers.NAMES]
