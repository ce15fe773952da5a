"""Concurrent tool calls and a streamed answer: `python examples/async_agent.py`, then `instrument show`."""

import asyncio
from collections.abc import AsyncIterator

from instrument import agent, span, tool, traced


@tool
async def fetch(page: str) -> str:
    await asyncio.sleep(0.01 * len(page))
    return f"content of {page}"


@traced
async def stream(text: str) -> AsyncIterator[str]:
    for word in text.split():
        await asyncio.sleep(0)
        yield word


@agent
async def research(topic: str) -> str:
    with span("gather", kind="step") as step:
        pages = await asyncio.gather(*(fetch(f"{topic}/{n}") for n in range(3)))
        step.set(pages=len(pages))
    return " ".join([word async for word in stream("; ".join(pages))])


if __name__ == "__main__":
    print(asyncio.run(research("otters")))
