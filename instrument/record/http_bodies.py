"""The bytes of a response, watched where the HTTP client reads them, whichever of its methods the caller uses.

`response.stream` is what all of them read and what closing the response closes; a stand-in for it sees every byte and
leaves the response, its methods and its pickled form alone.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator
from functools import cache
from typing import Any, Protocol

from instrument.record.safely import safely


class Witness(Protocol):
    """Is told what happens to a response's bytes."""

    def piece(self, data: bytes) -> None:
        """Some bytes have come."""

    def over(self, error: BaseException | None) -> None:
        """There are no more, or reading them failed."""

    def closing(self) -> None:
        """The response is about to be closed."""


def watch(response: Any, witness: Witness) -> None:
    """Tell `witness` of the bytes that will be read from the response, and of its closing."""
    if response.is_closed:  # as with test doubles, whose bytes lie in the response from the start
        response.close = _telling(response.close, witness)
        response.aclose = _telling(response.aclose, witness)
    else:
        response.stream = _stand_in(_kinds_of(type(response.stream)))(response.stream, witness)


def _telling(plain: Callable[[], Any], witness: Witness) -> Callable[[], Any]:
    def closing() -> Any:
        safely(witness.closing)
        return plain()

    return closing


def _kinds_of(kind: type) -> tuple[type, ...]:
    """The abstract bases that the HTTP client asks for; httpx2 and httpx have their own."""
    return tuple(base for base in kind.__mro__ if base.__name__ in _STAND_INS)


@cache
def _stand_in(bases: tuple[type, ...]) -> Any:
    return type("StandIn", (*(_STAND_INS[base.__name__] for base in bases), *bases), {})


class _StandIn:
    def __init__(self, plain: Any, witness: Witness) -> None:
        self._plain = plain
        self._witness = witness

    def __getattr__(self, name: str) -> Any:
        return getattr(self._plain, name)

    def __del__(self) -> None:
        safely(self._witness.closing)


class _SyncStandIn(_StandIn):
    def __iter__(self) -> Iterator[bytes]:
        try:
            for piece in self._plain:
                safely(self._witness.piece, piece)
                yield piece
        except GeneratorExit:
            raise
        except BaseException as error:
            safely(self._witness.over, error)
            raise
        safely(self._witness.over, None)

    def close(self) -> None:
        safely(self._witness.closing)
        self._plain.close()


class _AsyncStandIn(_StandIn):
    async def __aiter__(self) -> AsyncIterator[bytes]:
        inner = self._plain.__aiter__()
        try:
            async for piece in inner:
                safely(self._witness.piece, piece)
                yield piece
        except GeneratorExit:
            raise
        except BaseException as error:
            safely(self._witness.over, error)
            raise
        finally:
            if hasattr(inner, "aclose"):
                await inner.aclose()
        safely(self._witness.over, None)

    async def aclose(self) -> None:
        safely(self._witness.closing)
        await self._plain.aclose()


_STAND_INS: dict[str, type] = {"SyncByteStream": _SyncStandIn, "AsyncByteStream": _AsyncStandIn}
