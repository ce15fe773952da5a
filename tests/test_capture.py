"""Capture: any value becomes bounded, valid JSON, without a trace in the user's program."""

from __future__ import annotations

import array
import asyncio
import builtins
import collections
import dataclasses
import datetime
import decimal
import enum
import fractions
import functools
import io
import json
import pathlib
import random
import sys
import threading
import types
import typing
import unittest.mock
import uuid
import weakref
from collections.abc import Iterator
from typing import Any

import attrs
import msgspec
import numpy
import pydantic
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import Raw

from instrument import current_span, traced
from instrument.record.capture import Camera, Captured, Large, finish
from instrument.record.snapshot import snapshot
from instrument.redact import Redactor
from instrument.store.blobs import Blobs, read
from instrument.testing import record

SECRET = "zQ7xK2mP9vLw4RtY"
MAX_BYTES = 65_536

redactor = Redactor(b"k" * 32)
camera = Camera(redactor=redactor)


def settled(captured: Captured, blobs: Blobs | None = None) -> Any:
    """What a record would hold, decoded by the standard library too, and checked for its length."""
    data = bytes(finish(captured, blobs))
    assert len(data) <= MAX_BYTES
    assert json.loads(data) == msgspec.json.decode(data)
    return msgspec.json.decode(data)


def shown(value: object) -> Any:
    return settled(camera.value(value))


# Plain values


@pytest.mark.parametrize(
    "value",
    [
        None,
        True,
        0,
        -1,
        2**63,
        10**30,
        1.5,
        "",
        "日本",
        [],
        {},
        [1, "a", None, 2.5],
        {"a": {"b": [1, {"c": "d"}]}},
        {"a": "$5"},
    ],
)
def test_plain_value_is_itself(value: Any) -> None:
    """What JSON can say is said as it is."""
    assert value == shown(value)


def test_plain_values_are_finished_at_once() -> None:
    """A plain value leaves nothing to do for the worker."""
    assert Raw is type(camera.arguments({"a": 1, "b": "x", "c": [1.5, {"d": None}]}))


def test_arguments_by_parameter() -> None:
    """Arguments are an object from parameter to value."""
    assert {"a": 1, "b": [2]} == settled(camera.arguments({"a": 1, "b": (2,)}))


def test_value_is_as_it_was() -> None:
    """What happens to an object later does not change what was captured, however long it is."""
    short, long, odd = [1], ["x" * 100] * 3_000, {1: [1]}
    captured = [camera.value(value) for value in (short, long, odd)]
    short.append(2)
    long[:] = []
    odd[1].append(2)
    told = [settled(one) for one in captured]
    assert ([1], {"1": [1]}, 309_001) == (told[0], told[2], told[1]["bytes"])


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
        lambda inner: st.lists(inner) | st.dictionaries(st.text().filter(lambda key: key[:1] != "$"), inner),
    )
)
def test_plain_trees_are_themselves(value: Any) -> None:
    """Every tree of plain values comes back equal."""
    assert value == msgspec.json.decode(bytes(finish(camera.value(value), None)))


# Every other kind of value


@dataclasses.dataclass
class Point:
    x: int = 1
    y: Any = "a"

    @property
    def computed(self) -> int:
        raise RuntimeError("a property was asked")


@dataclasses.dataclass(slots=True)
class Slotted:
    x: int = 1
    y: float = float("nan")


class Model(pydantic.BaseModel):
    model_config = pydantic.ConfigDict(extra="allow")
    name: str
    inner: dict[str, int] = {}


@attrs.define
class Attrs:
    x: int
    y: str = "q"


class Struct(msgspec.Struct):
    x: int = 1


class Pair(typing.NamedTuple):
    x: int
    y: str


class Colour(enum.Enum):
    RED = "red"


class Flag(enum.IntFlag):
    A = 1
    B = 2


class Word(str, enum.Enum):  # noqa: UP042 - the older way is what is tried
    A = "a"


class Text(str):
    def __len__(self) -> int:
        raise RuntimeError("the value was asked")

    __str__ = __repr__ = __hash__ = __len__  # type: ignore[assignment]


class Number(int):
    def __int__(self) -> int:
        raise RuntimeError("the value was asked")

    __repr__ = __str__ = __index__ = __int__  # type: ignore[assignment]


class Mapping(dict[str, Any]):
    def __iter__(self) -> Any:
        raise RuntimeError("the value was asked")

    items = values = keys = __len__ = __iter__


def some_function() -> Iterator[int]:
    yield 1


NAME = __name__
frozen: Any = vars(builtins).get("frozendict", types.MappingProxyType)  # Python 3.15 has it


SHOWN: list[tuple[Any, Any]] = [
    ({"$type": f"{NAME}.Point", "x": 1, "y": "a"}, Point()),
    ({"$type": f"{NAME}.Slotted", "x": 1, "y": {"$float": "NaN"}}, Slotted()),
    ({"$type": f"{NAME}.Model", "name": "n", "inner": {"a": 1}, "more": 2}, Model(name="n", inner={"a": 1}, more=2)),  # type: ignore[call-arg]
    ({"$type": f"{NAME}.Attrs", "x": 1, "y": "q"}, Attrs(1)),
    ({"$type": f"{NAME}.Struct", "x": 1}, Struct()),
    ({"$type": f"{NAME}.Pair", "x": 1, "y": "b"}, Pair(1, "b")),
    ({"$enum": f"{NAME}.Colour.RED", "value": "red"}, Colour.RED),
    ({"$enum": f"{NAME}.Flag.A|B", "value": 3}, Flag.A | Flag.B),
    ({"$enum": f"{NAME}.Word.A", "value": "a"}, Word.A),
    ("abc", Text("abc")),
    (5, Number(5)),
    ({"a": 1}, Mapping(a=1)),
    ("1.10", decimal.Decimal("1.10")),
    ("1/3", fractions.Fraction(1, 3)),
    ("(1+2j)", 1 + 2j),
    ("2026-01-02T03:04:00+00:00", datetime.datetime(2026, 1, 2, 3, 4, tzinfo=datetime.UTC)),
    ("2026-01-02", datetime.date(2026, 1, 2)),
    ("1 day, 0:00:02", datetime.timedelta(1, 2)),
    ("00000000-0000-0000-0000-000000000005", uuid.UUID(int=5)),
    ("a/b", pathlib.PurePosixPath("a/b")),
    ({"$set": [1, 2, 3]}, {3, 1, 2}),
    ({"$set": ["a", "b"]}, frozenset("ba")),
    ({"$set": ["a", 1, None]}, {1, None, "a"}),
    ({"$bytes": 3, "text": "abc"}, b"abc"),
    ({"$bytes": 3, "text": "abc"}, bytearray(b"abc")),
    ({"$bytes": 3, "text": "abc"}, memoryview(b"abc")),
    ({"$bytes": 2, "escaped": "\\xffa"}, b"\xffa"),
    ({"$repr": "range(0, 5)"}, range(5)),
    ({"$exception": "ValueError", "message": "no"}, ValueError("no")),
    ({"$class": "int"}, int),
    ({"$class": f"{NAME}.Point"}, Point),
    ({"$function": f"{NAME}.some_function"}, some_function),
    ({"$function": f"{NAME}.some_function"}, traced(some_function)),
    ({"$function": "len"}, len),
    ({"$function": "len"}, traced(len)),
    ({"$function": "pydantic.main.BaseModel.model_dump"}, Model.model_dump),
    ({"$module": "json"}, json),
    ({"a": [1]}, collections.defaultdict(list, a=[1])),
    ({"a": 2, "b": 1}, collections.Counter("aab")),
    ({"b": 1, "a": 2}, collections.OrderedDict(b=1, a=2)),
    ({"a": {"b": 1}}, frozen({"a": frozen({"b": 1})})),
    ([1, 2], collections.deque([1, 2])),
    ([1, [2]], (1, (2,))),
    (3, numpy.int64(3)),
    (True, numpy.bool_(True)),
    ({"$float": "NaN"}, numpy.float32("nan")),
    ([[1.0, 2.0], [3.0, {"$float": "Infinity"}]], numpy.array([[1, 2], [3, numpy.inf]])),
    ([{"1": 2}], numpy.array([{1: 2}], dtype=object)),
    ("2020-01-01", numpy.datetime64("2020-01-01")),
    ({"$float": "NaN"}, float("nan")),
    ({"$float": "Infinity"}, float("inf")),
    ({"$float": "-Infinity"}, float("-inf")),
    ([1.0, {"$float": "NaN"}], [1.0, float("nan")]),
    ({"a": [{"$float": "NaN"}] * 100}, {"a": [float("nan")] * 100}),
    ({"$escaped": "a\\ud800"}, "a\ud800"),
    ({"\\ud800": 1}, {"\ud800": 1}),
    ({"(1, 2)": 3, "None": 4, "True": 5, "1.5": 6, "b'k'": 7}, {(1, 2): 3, None: 4, True: 5, 1.5: 6, b"k": 7}),
    ({"$items": [[1, "a"], ["1", "b"]]}, {1: "a", "1": "b"}),
    ({"$items": [["k" * 1_001, {"$class": "object"}]]}, {"k" * 1_001: object}),
    ({"$$cut": 1, "a": {"$$blob": 2}}, {"$cut": 1, "a": {"$blob": 2}}),
    ([{"$$x": 1}] * 100, [{"$x": 1}] * 100),
]


@pytest.mark.parametrize(("expected", "value"), SHOWN, ids=[str(expected)[:60] for expected, _ in SHOWN])
def test_how_a_value_is_shown(expected: Any, value: object) -> None:
    """Each kind of value is shown as the table in the module says."""
    assert expected == shown(value)


@pytest.mark.parametrize("value", ["nan", "inf", "-inf"])
def test_a_number_that_json_has_not_is_shown_in_a_call(value: str) -> None:
    """What takes the short way to its record as well, as an argument and as a result."""
    number = float(value)
    with record() as recording:
        traced(lambda a: a)(number)
    [span] = recording.spans
    assert ({"a": shown(number)}, shown(number)) == (span.input, span.output)


@pytest.mark.skipif(sys.version_info < (3, 14), reason="t-strings came with Python 3.14")
def test_template_string() -> None:
    """A t-string is its texts and, by expression, its values; one that cannot be shown hides nothing beside it."""
    template = eval("t'Hello {name!r:>9}, {broken}'", {"name": "Bob", "broken": Broken(ValueError())})
    *told, broken = shown(template)["$template"]
    assert (["Hello ", {"name": "Bob"}, ", "], "ValueError") == (told, broken["broken"]["error"])


def test_integer_of_many_digits() -> None:
    """An integer that Python itself does not write is shown by its beginning and its length."""
    assert {"$int": f"-{hex(10**5000)[:66]}…", "bits": 16_610} == shown(-(10**5000))


MANY = dict.fromkeys(range(300_000), 0.5)
LONG_ONES = {
    "array": array.array("d", MANY),
    "keys": MANY.keys(),
    "values": MANY.values(),
    "items": MANY.items(),
    "proxy": types.MappingProxyType(MANY),
    "frozen dict": frozen(MANY),
    "namespace": types.SimpleNamespace(held=[*MANY]),
    "user list": collections.UserList(MANY),
    "user dict": collections.UserDict(MANY),
    "chain map": collections.ChainMap(MANY),
    "partial": functools.partial(len, [*MANY]),
    "slice": slice([*MANY]),
}


@pytest.mark.parametrize("value", LONG_ONES.values(), ids=LONG_ONES)
def test_long_containers_are_not_written_out(value: object) -> None:
    """Of whatever container of the standard library only as much is looked at as is shown, not its whole repr."""
    assert snapshot(value).size < 300_000


def test_large_array_is_described() -> None:
    """A large numpy array is its shape, type and first elements."""
    assert {"$array": [200, 50], "dtype": "int16", "head": [7] * 20} == shown(numpy.full((200, 50), 7, dtype="int16"))


def test_marks_among_arguments() -> None:
    """Also as an argument a key that looks like a mark is told from one."""
    assert {"a": {"$$x": 1}, "$$b": 2} == settled(camera.arguments({"a": {"$x": 1}, "$b": 2}))


def test_marks_of_the_user_differ_from_ours() -> None:
    """A dict of the user's that looks like a mark is told from the mark."""
    assert shown({"$float": "NaN"}) != shown(float("nan"))


# Hostile values


class Broken:
    """Raises whatever one asks of it."""

    def __init__(self, error: BaseException) -> None:
        object.__setattr__(self, "error", error)

    def _fail(self, *rest: Any) -> Any:
        raise object.__getattribute__(self, "error")

    __repr__ = __str__ = __eq__ = __hash__ = __len__ = __iter__ = __bool__ = __getattr__ = _fail
    __getitem__ = __contains__ = __call__ = __setattr__ = __enter__ = __index__ = __float__ = __bytes__ = _fail

    @property  # type: ignore[misc]
    def __class__(self) -> type:
        raise RuntimeError("the class was asked")


class OwnBase(BaseException):
    pass


class HostileMeta(type):
    def __hash__(cls) -> int:
        raise OwnBase

    def __eq__(cls, other: object) -> bool:
        raise OwnBase

    def __getattribute__(cls, name: str) -> Any:
        raise OwnBase


@functools.cache
def hostile_class() -> Any:
    """A class that raises when it is looked at; made here, as pytest looks at all names of a module."""
    return HostileMeta("OfHostileMeta", (), {})


class NoText:
    def __repr__(self) -> str:
        return None  # type: ignore[return-value]


class Endless:
    def __repr__(self) -> str:
        return repr(self)


@pytest.mark.parametrize(
    "error", [ValueError("no"), RecursionError(), MemoryError(), OwnBase(), GeneratorExit()], ids=repr
)
def test_object_that_raises(error: BaseException) -> None:
    """An object that raises is shown as unreadable, whatever it raises, and what lies beside it is shown."""
    told = shown([1, Broken(error), {"a": Broken(error)}, 2])
    assert [1, "Broken", 2] == [told[0], told[1]["$unreadable"].rpartition(".")[2], told[3]]


def test_interrupt_is_the_users() -> None:
    """Ctrl-C that comes while a value is looked at is not swallowed."""
    with pytest.raises(KeyboardInterrupt):
        camera.value(Broken(KeyboardInterrupt()))


@pytest.mark.parametrize("make", [lambda: hostile_class()(), hostile_class, NoText, Endless], ids=["a", "b", "c", "d"])
def test_odd_types(make: Any) -> None:
    """Types that fight being looked at break nothing."""
    assert isinstance(shown([make()]), list)


def test_mocks_are_not_asked() -> None:
    """A mock answers everything; it is shown by its repr and not called."""
    mock = unittest.mock.MagicMock()
    assert {"$type": "unittest.mock.MagicMock", "$repr": "<MagicMock>"} == shown(mock)
    assert [] == mock.method_calls


def test_weak_proxies() -> None:
    """A proxy is shown as such, also when what it stood for is gone."""
    point = Point()
    proxy = weakref.proxy(point)
    del point
    assert "weakref.ProxyType" == shown(proxy)["$type"]


def test_address_is_left_out() -> None:
    """Equal calls look equal: no address is shown."""
    assert shown(object()) == shown(object()) == {"$repr": "<object object>"}


async def some_coroutine() -> int:
    return 1


def test_iterators_are_not_consumed() -> None:
    """Iterators, generators, files and coroutines are shown by what they are and left as they are."""
    generator, iterator, file = some_function(), iter([1, 2]), io.StringIO("text")
    coroutine = some_coroutine()
    for value in (generator, iterator, file, coroutine, zip([1], [2], strict=True), map(str, [1])):
        assert "$repr" in shown(value)
    assert ([1], [1, 2], "text", 1) == (list(generator), list(iterator), file.read(), asyncio.run(coroutine))


def test_cycles() -> None:
    """A container that holds itself says so."""
    ring: list[Any] = [1]
    ring.append({"ring": ring})
    assert [1, {"ring": {"$cycle": "list"}}] == shown(ring)


def test_shared_values_are_no_cycle() -> None:
    """A value that is there twice is shown twice."""
    shared = [1]
    assert [[1], [1], {"$float": "NaN"}] == shown([shared, shared, float("nan")])


@pytest.mark.parametrize(
    "wrap",
    [lambda inner: [inner], lambda inner: {"a": inner}, lambda inner: (inner,), Point],
    ids=["list", "dict", "tuple", "object"],
)
def test_deep_nests(wrap: Any) -> None:
    """5,000 levels are cut at a depth, and that is said."""
    nest: Any = "bottom"
    for _ in range(5_000):
        nest = wrap(nest)
    assert '"$deep":' in json.dumps(shown(nest), separators=(",", ":"))


def test_values_that_grow_exponentially() -> None:
    """Lists that hold the same list twice, forty levels deep, are cut."""
    value: list[Any] = [1]
    for _ in range(40):
        value = [value, value]
    assert '"$omitted"' in json.dumps(shown(value))


def test_capture_near_the_end_of_the_stack() -> None:
    """Deep in a recursion capture gives something or Python's own error, and breaks nothing."""

    def descend(depth: int) -> int:
        try:
            return descend(depth + 1)
        except RecursionError:
            for value in ({"a": [Point(), float("nan")]}, {"a": 1}, Broken(ValueError())):
                try:
                    finish(camera.value(value), None)
                except RecursionError:
                    return 1
            return 0

    assert descend(0) in (0, 1)


def test_values_that_other_threads_change() -> None:
    """A container that another thread changes all the time is captured without an error."""
    mapping: dict[Any, Any] = {n: n for n in range(100)}
    array: list[Any] = list(range(100))
    group = set(range(100))
    queue = collections.deque(range(100))
    stop = threading.Event()

    def change() -> None:
        n = 0
        while not stop.is_set():
            n += 1
            if n % 8 == 0:
                mapping[n % 500] = n
                mapping.pop((n * 7) % 500, None)
                array.append(float("nan"))
                del array[: len(array) // 2]
            group.symmetric_difference_update({n % 300})
            queue.append(n)
            queue.popleft()

    thread = threading.Thread(target=change)
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    thread.start()
    try:
        told = [settled(camera.arguments({"m": mapping, "a": array})) for _ in range(300)]
        told += [settled(camera.arguments({"g": group, "q": queue})) for _ in range(3_000)]
    finally:
        stop.set()
        thread.join()
        sys.setswitchinterval(before)
    assert [] == [one for one in told if "$unreadable" in json.dumps(one)]


# Long values


def test_wide_containers_say_what_is_missing() -> None:
    """Of a million elements the first are shown and the rest is counted."""
    told = shown(list(range(1_000_000)))
    text = told["head"] + "…" + told["tail"] if isinstance(told, dict) else json.dumps(told)
    assert '"$omitted"' in text
    assert "[0,1,2,3" in text.replace(" ", "")


def test_long_list_keeps_its_neighbours() -> None:
    """A long value does not use up the room of what stands beside it."""
    told = shown({"rows": [Point() for _ in range(5_000)], "status": "fine", "more": Point()})
    assert ("fine", 1) == (told["status"], told["more"]["x"])


def test_long_argument_keeps_the_others() -> None:
    """A long argument is stored apart, the others stay where they are."""
    told = settled(camera.arguments({"text": "x" * 100_000, "n": 1, "point": Point()}))
    assert ([100_002, 1, 1], "x" * 40) == (
        [told["text"]["bytes"], told["n"], told["point"]["x"]],
        told["text"]["head"][:40],
    )


def test_long_text_is_left_to_the_worker() -> None:
    """A string of 50 MB is only referred to."""
    text = "y" * 50_000_000
    captured = camera.value(text)
    assert isinstance(captured, Large)
    assert captured.tree is text


def test_value_over_the_bound_is_stored_apart(tmp_path: pathlib.Path) -> None:
    """A value longer than `max_bytes` is a blob, whole; the record holds its reference, length, head and tail."""
    blobs = Blobs(tmp_path)
    value = {"lines": [f"line {n}" for n in range(7_000)]}
    told = settled(camera.value(value), blobs)
    assert value == msgspec.json.decode(read(tmp_path, told["$blob"]))
    assert ('{"lines":["line 0"', 'line 6999"]}') == (told["head"][:18], told["tail"][-12:])


def test_equal_values_share_a_blob(tmp_path: pathlib.Path) -> None:
    """The same content is stored once."""
    blobs = Blobs(tmp_path)
    told = [settled(camera.value("z" * 100_000), blobs) for _ in range(2)]
    assert told[0] == told[1]
    assert 1 == sum(path.is_file() for path in tmp_path.rglob("*"))


def test_blob_that_cannot_be_written(tmp_path: pathlib.Path) -> None:
    """Without a place for it the value is shown by head and tail, with no reference."""
    (tmp_path / "blobs").write_text("in the way")
    told = settled(camera.value("z" * 100_000), Blobs(tmp_path / "blobs"))
    assert [None, 100_002, "z" * 10] == [told["$blob"], told["bytes"], told["head"][:10]]


def test_text_beyond_all_bounds_is_cut(tmp_path: pathlib.Path) -> None:
    """A string longer than `max_blob_bytes` keeps head and tail only."""
    told = settled(camera.value("a" * 5_000_000 + "b" * 5_000_000), Blobs(tmp_path))
    assert {"$cut": 10_000_000, "head": "a" * 2_000, "tail": "b" * 500} == told


def test_many_long_texts_are_cut(tmp_path: pathlib.Path) -> None:
    """A hundred strings of a megabyte: what is stored of them all stays within the bound."""
    told = settled(camera.value(["c" * 1_000_000 + str(n) for n in range(100)]), Blobs(tmp_path))
    assert told["bytes"] <= 8_388_608
    assert '{"$cut":1000001' in told["head"]


def test_long_bytes(tmp_path: pathlib.Path) -> None:
    """Long bytes are stored as text where they are text, else by length and hash."""
    blobs = Blobs(tmp_path)
    text, binary = settled(camera.value(b"t" * 100_000), blobs), settled(camera.value(b"\xff\x00" * 50_000), blobs)
    assert {"$bytes": 100_000, "text": "t" * 100_000} == msgspec.json.decode(read(tmp_path, text["$blob"]))
    assert [100_000, 16] == [binary["$bytes"], len(binary["hash"])]


def test_mutable_bytes_are_copied() -> None:
    """A bytearray that changes later is shown as it was."""
    content = bytearray(b"t" * 100_000)
    captured = camera.value(content)
    content[:] = b"u" * 100_000
    assert "ttt" in settled(captured)["head"]


@pytest.mark.parametrize("count", [1, 30, 3_000])
def test_arguments_keep_the_bound(count: int) -> None:
    """However many arguments there are, all of them together stay within `max_bytes`."""
    named: dict[str, object] = {f"argument_{n}": "\x01" * 30_000 if n % 2 else Point() for n in range(count)}
    assert settled(camera.arguments(named)) is not None


def test_what_is_larger_than_may_be_stored_apart_is_not(tmp_path: pathlib.Path) -> None:
    """Of it there are head and tail alone."""
    small = Camera(1_024, 3_000, redactor=redactor)
    shown = [settled(small.value([*range(count)]), Blobs(tmp_path))["$blob"] is None for count in (500, 1_000)]
    assert [False, True] == shown


def test_long_strings_are_cut_so_that_all_of_them_can_be_stored(tmp_path: pathlib.Path) -> None:
    """Each alone would do, together they are more than may be stored apart."""
    small = Camera(1_024, 10_000, redactor=redactor)
    assert settled(small.value({"a": "x" * 6_000, "b": "y" * 6_000}), Blobs(tmp_path))["$blob"] is not None


def test_the_tail_of_many_pieces_is_in_order() -> None:
    """What is encoded step by step ends as the value ends."""
    value = [f"{'word' * 100}{n}" for n in range(1_000)]
    assert shown(value)["tail"].endswith('word999"]')


def test_many_short_arguments_keep_the_bound() -> None:
    """Each would be kept as it is; all of them together are more than may be."""
    named: dict[str, Any] = {f"argument_{n}": "x" * 5_000 for n in range(30)}
    assert "$blob" in str(settled(camera.taken_arguments(named)))


def test_an_argument_that_is_called_like_a_mark_is_told_from_one() -> None:
    """A keyword that begins with `$` gets one `$` more, however plain its value is."""
    assert {"$$repr": "x"} == settled(camera.taken_arguments({"$repr": "x"}))


def test_long_text_that_is_no_unicode() -> None:
    """A long string with lone surrogates is stored in escapes."""
    assert "\\ud800" in settled(camera.value("\ud800" * 100_000))["head"]


def test_reprs_are_bounded() -> None:
    """An object with an endless repr is bounded as any string."""

    class Wordy:
        def __repr__(self) -> str:
            return "w" * 3_000_000

    assert "$blob" in settled(camera.value(Wordy()))


# Secrets


def test_half_a_secret_does_not_survive_the_cut() -> None:
    """Redaction comes before cutting: wherever a secret lies on a cut, no part of it is shown."""
    small = Camera(4_096, 5_000, redactor=redactor)
    token = f"ghp_{SECRET}{SECRET}"
    for before, after in zip(range(2_000, 1_950, -1), range(500, 450, -1), strict=True):
        text = f"{'a ' * 999}a {token}{' x' * 6_000}{token}{' b' * 250}"[2_000 - before :]
        shown = msgspec.json.decode(bytes(finish(small.value(text[: len(text) - 500 + after]), None)))
        ends = [
            text for text in (shown["head"], shown["tail"]) if any(part in text for part in (SECRET[:3], SECRET[-3:]))
        ]
        assert (before, []) == (before, ends)


def test_blob_holds_no_secret(tmp_path: pathlib.Path) -> None:
    """What is stored apart was redacted, by shape, by name and in text."""
    value = {
        "rows": ["x" * 1_000] * 100,
        "password": SECRET,
        "text": f"api_key={SECRET} " + "y" * 1_000,
        "more": [f"Bearer {SECRET}"],
    }
    blobs = Blobs(tmp_path)
    told = settled(camera.value(value), blobs)
    assert SECRET not in read(tmp_path, told["$blob"]).decode() + json.dumps(told)


def test_long_secret_argument_is_hidden(tmp_path: pathlib.Path) -> None:
    """A long argument with a secret name is a placeholder, whatever is in it."""
    told = settled(camera.arguments({"password": "p" * 200_000, "n": 1}), Blobs(tmp_path))
    assert {"password": redactor.placeholder("p" * 200_000), "n": 1} == told


def test_secret_in_bytes_is_seen() -> None:
    """Bytes are shown so that a secret in them is found by redaction."""
    line = b'{"input":' + bytes(camera.value(b"\xff password=" + SECRET.encode())) + b"}"  # type: ignore[arg-type]
    assert SECRET.encode() not in redactor.line(line)


# Without content


def test_without_content_nothing_is_told() -> None:
    """With content off there are sizes and keyed hashes, and nothing else."""
    told = settled(Camera(content=False, redactor=redactor).arguments({"a": "geheim", "b": [1, 2]}))
    assert {
        "a": {"$hash": redactor.keyed_hash(b'"geheim"'), "bytes": 8},
        "b": {"$hash": redactor.keyed_hash(b"[1,2]"), "bytes": 5},
    } == told


@pytest.mark.parametrize(
    "value",
    ["geheim", "geheim" * 100_000, [Point(1, "geheim")], b"geheim" * 20_000],
    ids=["short", "long", "object", "bytes"],
)
def test_without_content_equal_values_are_equal(value: object) -> None:
    """Hashes tell equal values from others and hold nothing of them."""
    closed = Camera(content=False, redactor=redactor)
    told = [bytes(finish(closed.value(one), None)) for one in (value, value, [value])]
    assert told[0] == told[1] != told[2]
    assert b"geheim" not in b"".join(told)


# Samples, for fingerprints


def test_sample_tells_long_values_apart() -> None:
    """A long value gives some bytes at once: equal for equal values, different for different ones."""
    texts = ["x" * 2_000_000 + end for end in ("a", "b", "a")]
    samples = [one.sample() for one in map(camera.value, texts) if isinstance(one, Large)]
    assert samples[0] == samples[2] != samples[1]


# One value on every way


TAKEN: list[Any] = [
    True, 1, 1.5, float("inf"), 10**5_000, "text", "$x", "\udc00", "a" * 8_192, "a" * 8_193, "a" * 70_000, b"x",
    [1, "a"], [1, [2]], (1, 2), {"a": 1}, {"$a": 1}, {"a": {"b": 1}}, {1: "a"}, Colour.RED,
]  # fmt: skip


@pytest.mark.parametrize("content", [True, False], ids=["with content", "without"])
def test_a_value_is_the_same_as_argument_result_and_attribute(content: bool) -> None:
    """What is held as it is, is asked where arguments and results are taken, and by capture: all three must agree."""

    @traced
    def back(a: Any) -> Any:
        live = current_span()
        assert live is not None
        live.set(a=a)
        return a

    with record(capture={"content": content}) as recording:
        for value in TAKEN:
            back(value)
            back(a=value)
    told = [(span.input["a"], span.output, span.attributes["a"]) for span in recording.spans]
    assert [(one[-1],) * 3 for one in told] == told


# Anything


class Fuzz:
    """Random nested values of every kind, from a seed."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)

    def value(self, depth: int = 0) -> Any:
        pick = self.random.choice
        if depth > 4 or self.random.random() < 0.5:
            return pick(self.leaves())()
        return pick(self.containers())(depth)

    def leaves(self) -> list[Any]:
        draw = self.random
        return [
            lambda: draw.choice(
                [None, True, ..., NotImplemented, 0.0, -0.0, float("nan"), float("inf"), 2**70, 10**4400]
            ),
            lambda: draw.getrandbits(draw.choice([1, 40, 70])),
            draw.random,
            lambda: (
                draw.choice(["", "a", "$b", "\ud800", "日", "\x00", '"\\', f"password={SECRET}"]) * draw.randint(0, 3)
            ),
            lambda: "x" * draw.choice([1, 10, 100, 1_000, 70_000 if draw.random() < 0.1 else 5]),
            lambda: draw.randbytes(draw.choice([0, 3, 300, 20_000 if draw.random() < 0.1 else 5])),
            lambda: bytearray(draw.randbytes(5)),
            lambda: draw.choice(
                [Broken(ValueError("x")), Broken(OwnBase()), NoText(), hostile_class()(), unittest.mock.MagicMock()]
            ),
            lambda: draw.choice(
                [Colour.RED, Flag.B, Word.A, Text("t"), Number(3), Struct(), Pair(1, "a"), int, len, json]
            ),
            lambda: draw.choice(
                [decimal.Decimal("NaN"), datetime.datetime(1, 1, 1), uuid.UUID(int=1), pathlib.Path("."), 1j]
            ),
            lambda: numpy.full(draw.choice([0, 3, 200]), draw.random()),
            lambda: draw.choice(
                [some_function(), iter([]), io.BytesIO(), range(3), functools.partial(len), types.SimpleNamespace(a=1)]
            ),
        ]

    def containers(self) -> list[Any]:
        draw = self.random

        def many(depth: int) -> list[Any]:
            return [self.value(depth + 1) for _ in range(draw.choice([0, 1, 2, 5]))]

        def key() -> Any:
            return draw.choice(
                ["a", "b", "$c", "", "\udc00", 1, 1.5, None, True, (1, 2), b"x", Colour.RED, "1", "k" * 1_500]
            )

        return [
            many,
            lambda depth: tuple(many(depth)),
            lambda depth: {key(): value for value in many(depth)},
            lambda depth: collections.OrderedDict((key(), value) for value in many(depth)),
            lambda depth: Mapping({str(n): value for n, value in enumerate(many(depth))}),
            lambda depth: collections.deque(many(depth)),
            lambda depth: {draw.choice([1, "a", None, 2.5, (1,), frozenset("ab")]) for _ in range(4)},
            lambda depth: Point(draw.randint(0, 9), self.value(depth + 1)),
            lambda depth: Attrs(1, self.value(depth + 1)),
            lambda depth: Model(name="n", extra=self.value(depth + 1)),  # type: ignore[call-arg]
            lambda depth: ValueError(draw.choice(["no", SECRET, b"x", Broken(OwnBase())])),
            lambda depth: [self.value(depth + 1)] * draw.choice([2, 10, 700 if draw.random() < 0.1 else 3]),
        ]


def test_anything_gives_valid_json_within_the_bound() -> None:
    """Fifteen thousand random values: nothing raises, everything is JSON within the bound."""
    fuzz = Fuzz(7)
    small = Camera(2_048, 50_000, redactor=redactor)
    for n in range(15_000):
        value = fuzz.value()
        captured = small.arguments({"a": value, "b": 1}) if n % 2 else small.value(value)
        data = bytes(finish(captured, None))
        assert len(data) <= 2_048
        msgspec.json.decode(data)
