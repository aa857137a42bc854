"""Run the demo; the last line is one JSON object, the exit status says whether all held."""

from __future__ import annotations

import asyncio
import json
import sys

import httpx

from examples.demo.stack import DemoFailed, Stack, running_stack
from examples.demo.story import Story
from tocsin_schemas.errors import TocsinError


async def tell(stack: Stack, figures: dict[str, object]) -> None:
    """All steps, in order."""
    async with httpx.AsyncClient(timeout=30) as http:
        story = Story(stack, http, figures)
        story.say(f"issuer on {stack.public_url}, services {', '.join(stack.service_urls)}")
        try:
            await story.two_devices()
            await story.logout_rounds()
            await story.rotation()
            await story.compromised_key()
            await story.everywhere()
            await story.outage()
            await story.replayed()
        finally:
            for worker in story.workers:
                await worker.connection.aclose()


def main() -> int:
    """Tell the story."""
    figures: dict[str, object] = {}
    ok = False
    try:
        with running_stack() as stack:
            asyncio.run(tell(stack, figures))
        ok = True
    except (DemoFailed, TocsinError, httpx.HTTPError) as error:
        print(f"FAILED: {error or type(error).__name__}", file=sys.stderr)
    print(json.dumps({"ok": ok, **figures}))
    return 0 if ok else 1


if __name__ == "__main__":
    sys.exit(main())
