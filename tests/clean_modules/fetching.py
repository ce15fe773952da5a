"""Fetching many things at once, with retries and a limit."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterable

logger = logging.getLogger(__name__)


class FetchError(Exception):
    """Nothing came back after all attempts."""


async def with_retries(
    work: Callable[[], Awaitable[str]], attempts: int = 3, delay: float = 0.1
) -> str:
    last: Exception | None = None
    for attempt in range(attempts):
        try:
            return await work()
        except OSError as error:
            last = error
            logger.warning("attempt %d failed: %s", attempt + 1, error)
            await asyncio.sleep(delay * 2**attempt)
    raise FetchError("gave up") from last


async def fetch(name: str) -> str:
    await asyncio.sleep(0)
    return name.upper()


async def fetch_all(names: Iterable[str], limit: int = 5) -> dict[str, str]:
    gate = asyncio.Semaphore(limit)
    results: dict[str, str] = {}

    async def one(name: str) -> None:
        async with gate:
            results[name] = await with_retries(lambda: fetch(name))

    await asyncio.gather(*(one(name) for name in names))
    return results


async def first_of(names: list[str]) -> str | None:
    tasks = [asyncio.create_task(fetch(name)) for name in names]
    if not tasks:
        return None
    done, pending = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    for task in pending:
        task.cancel()
    return next(iter(done)).result()


async def ticker(count: int):
    for number in range(count):
        yield number
        await asyncio.sleep(0)


async def collect(count: int) -> list[int]:
    seen = []
    async for number in ticker(count):
        seen.append(number)
    return seen


def main() -> None:
    results = asyncio.run(fetch_all(["a", "b"]))
    for name, value in sorted(results.items()):
        logger.info("%s: %s", name, value)


if __name__ == "__main__":
    main()
