"""What user code logs with `logging` or loguru inside a span becomes a log of that span, and nothing else changes."""

from __future__ import annotations

import copy
import io
import logging
import logging.handlers
import pickle
import queue
import sys
from collections.abc import Iterator
from typing import Any

import loguru
import pytest
from loguru import logger as loguru_logger

from instrument import span
from instrument.record import notices
from instrument.testing import Recording, record
from tests.programs import python


@pytest.fixture
def standard() -> Iterator[logging.Logger]:
    """A logger of the standard library with a handler that keeps its lines in `.lines`."""
    logger = logging.getLogger("app.module")
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    handler.setFormatter(logging.Formatter("%(levelname)s %(name)s %(message)s %(funcName)s"))
    logger.addHandler(handler)
    logger.setLevel(logging.DEBUG)
    logger.propagate = False
    logger.stream = stream  # type: ignore[attr-defined]
    yield logger
    logger.handlers.clear()
    logger.propagate = True


@pytest.fixture
def guru() -> Iterator[Any]:
    """loguru with one handler that keeps its lines in the list `.lines`; afterwards as it was."""
    core = loguru_logger._core  # type: ignore[attr-defined]
    before = core.patcher, dict(core.extra)
    loguru_logger.remove()
    lines: list[str] = []
    loguru_logger.add(lines.append, format="{level} {message} {extra}")
    loguru_logger.lines = lines  # type: ignore[attr-defined]
    yield loguru_logger
    loguru_logger.remove()
    loguru_logger.add(sys.stderr)
    core.patcher, core.extra = before


def said(recording: Recording) -> list[tuple[str, str]]:
    """Level and message of every log."""
    return [(log.level, log.message) for log in recording.logs]


# the standard library


def test_standard_log_belongs_to_its_span(recording: Recording, standard: logging.Logger) -> None:
    """A log carries the span, level, logger and place in the code."""
    with span("outer") as outer:
        standard.warning("count %d of %s", 3, "things")
    [log] = recording.logs
    assert (outer.span_id, "WARNING", "LOG", "count 3 of things", "app.module") == (
        log.span_id,
        log.level,
        log.event,
        log.message,
        log.logger,
    )
    assert __file__ == log.metadata["code.file.path"]


def test_standard_log_reaches_its_handlers_as_before(recording: Recording, standard: Any) -> None:
    """The user's handlers get the same line, from the same function."""
    with span("outer"):
        standard.info("hello")
    assert "INFO app.module hello test_standard_log_reaches_its_handlers_as_before\n" == standard.stream.getvalue()


def test_standard_log_outside_of_spans_is_not_taken(recording: Recording, standard: logging.Logger) -> None:
    """What is logged outside of any span is left to the user's handlers."""
    standard.error("outside")
    assert [] == recording.logs


def test_standard_levels(recording: Recording, standard: logging.Logger) -> None:
    """Levels keep their names, custom ones too; what the logger does not let through is not taken."""
    logging.addLevelName(25, "NOTICE")
    standard.setLevel(logging.INFO)
    with span("outer"):
        for level in (10, 20, 25, 40, 50):
            standard.log(level, "message")
    assert ["INFO", "NOTICE", "ERROR", "CRITICAL"] == [level for level, _ in said(recording)]


def test_standard_extra_and_exception(recording: Recording, standard: logging.Logger) -> None:
    """`extra` becomes metadata; an exception is named with its text, also when its text cannot be had."""

    class Unsayable(Exception):
        def __str__(self) -> str:
            raise ValueError

    with span("outer"):
        for error in (KeyError("k"), Unsayable()):
            try:
                raise error
            except Exception:
                standard.exception("failed", extra={"user": "u", "order": {"id": 7}})
    first, second = recording.logs
    assert ("u", {"id": 7}, "KeyError: 'k'") == (
        first.metadata["user"],
        first.metadata["order"],
        first.metadata["exception"],
    )
    assert "Unsayable: <Unsayable whose __str__ failed>" == second.metadata["exception"]


def test_standard_log_with_arguments_that_do_not_fit(
    recording: Recording, standard: logging.Logger, capsys: pytest.CaptureFixture[str]
) -> None:
    """A message whose arguments do not fit is taken as it stands, and logging complains as it always does."""
    del standard.handlers[1:]  # pytest's own, which raises
    with span("outer"):
        standard.info("%d of %d", 1)
    assert [("INFO", "%d of %d")] == said(recording)
    assert "not enough arguments for format string" in capsys.readouterr().err


def test_handler_that_logs(recording: Recording, standard: logging.Logger) -> None:
    """A handler that logs itself does not loop; what handlers say while they handle is theirs."""
    other = logging.getLogger("app.other")

    class Chatty(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            other.warning("handling %s", record.getMessage())

    standard.addHandler(Chatty())
    with span("outer"):
        standard.info("one")
        standard.info("two")
    assert [("INFO", "one"), ("INFO", "two")] == said(recording)


def test_handler_that_raises(recording: Recording, standard: logging.Logger) -> None:
    """What a handler raises reaches the caller as before, and the next log is taken."""

    class Broken(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            raise KeyError("broken")

    standard.addHandler(Broken())
    with span("outer"):
        for _ in range(2):
            with pytest.raises(KeyError, match="broken"):
                standard.info("message")
    assert 2 == len(recording.logs)


def test_queue_handler(recording: Recording, standard: logging.Logger) -> None:
    """A log that goes through a queue to a listener is taken once, in the span where it was logged."""
    waiting: queue.Queue[Any] = queue.Queue()
    listener = logging.handlers.QueueListener(waiting, logging.StreamHandler(io.StringIO()))
    standard.addHandler(logging.handlers.QueueHandler(waiting))
    with span("outer"):
        listener.start()
        standard.info("queued")
        listener.stop()
    assert [("INFO", "queued")] == said(recording)


def test_basic_config_afterwards(recording: Recording) -> None:
    """logging.basicConfig() works after recording has started, and its handler gets what is logged in spans."""
    root, stream = logging.getLogger(), io.StringIO()
    before = list(root.handlers), root.level
    root.handlers.clear()
    try:
        logging.basicConfig(stream=stream, level=logging.INFO, format="%(message)s")
        with span("outer"):
            logging.info("by the root")
    finally:
        root.handlers[:], root.level = before
    assert ("by the root\n", [("INFO", "by the root")]) == (stream.getvalue(), said(recording))


def test_logger_called_like_us(recording: Recording) -> None:
    """A logger of the user's that is called `instrument` is one like any other."""
    logger = logging.getLogger("instrument")
    logger.addHandler(logging.NullHandler())
    with span("outer"):
        logger.warning("EURUSD")
    assert [("WARNING", "EURUSD")] == said(recording)


def test_recording_twice_attaches_once(standard: logging.Logger) -> None:
    """However often recording starts, a log is taken once and the library is patched once."""
    for _ in range(3):
        with record() as recording, span("outer"):
            standard.info("once")
        assert [("INFO", "once")] == said(recording)
    assert not hasattr(logging.Logger.callHandlers.__wrapped__, "__wrapped__")  # type: ignore[attr-defined]


# loguru


def test_loguru_log_belongs_to_its_span(recording: Recording, guru: Any) -> None:
    """A log carries the span, level, message, extra and place in the code."""
    with span("outer") as outer:
        guru.bind(user="u").success("count {} of {what}", 3, what="things")
    [log] = recording.logs
    assert (outer.span_id, "SUCCESS", "count 3 of things", "u", "things", __file__) == (
        log.span_id,
        log.level,
        log.message,
        log.metadata["user"],
        log.metadata["what"],
        log.metadata["code.file.path"],
    )


def test_loguru_handlers_get_what_they_got(recording: Recording, guru: Any) -> None:
    """The user's sinks see the same line, without anything of ours in its extra."""
    with span("outer"):
        guru.bind(user="u").info("hello")
    assert ["INFO hello {'user': 'u'}\n"] == guru.lines


def test_loguru_outside_of_spans_is_not_taken(recording: Recording, guru: Any) -> None:
    """What is logged outside of any span is left to the user's sinks."""
    guru.info("outside")
    assert ([], 1) == (recording.logs, len(guru.lines))


def test_what_an_exception_came_of_is_named(recording: Recording, standard: logging.Logger) -> None:
    """A server logs one of its own that says no more than that a tool failed."""
    with span("s"):
        try:
            try:
                raise KeyError("bad")
            except KeyError as error:
                raise RuntimeError("tool failed") from error
        except RuntimeError:
            standard.exception("failed")
    assert "RuntimeError: tool failed, from KeyError: 'bad'" == recording.logs[0].metadata["exception"]


def test_loguru_exception(recording: Recording, guru: Any) -> None:
    """An exception is named with its text."""
    with span("outer"):
        try:
            {}["k"]
        except KeyError:
            guru.exception("failed")
    assert "KeyError: 'k'" == recording.logs[0].metadata["exception"]


@pytest.mark.parametrize("how", ["patcher", "extra", "handlers", "twice"])
def test_loguru_configured_afterwards(recording: Recording, guru: Any, how: str) -> None:
    """logger.configure() of the user's keeps its effect, and logs are still taken, with what the patcher added."""

    def patcher(record: Any) -> None:
        record["extra"]["patched"] = True

    if how == "handlers":
        guru.configure(handlers=[{"sink": guru.lines.append, "format": "{message}"}])
    elif how == "extra":
        guru.configure(extra={"patched": True})
    else:
        guru.configure(patcher=patcher)
        if how == "twice":
            guru.configure(patcher=patcher)
    with span("outer"):
        guru.info("message")
    patched = [log.metadata.get("patched") for log in recording.logs]
    assert ([None if how == "handlers" else True], 1) == (patched, len(guru.lines))


def test_loguru_patcher_that_raises(recording: Recording, guru: Any) -> None:
    """A patcher of the user's that raises reaches the caller as it does without us."""
    guru.configure(patcher=lambda record: 1 / 0)
    with span("outer"), pytest.raises(ZeroDivisionError):
        guru.info("message")


def test_loguru_removed_and_added_again(recording: Recording, guru: Any) -> None:
    """logger.remove() and add() of the user's change nothing about what is taken, as long as there is a sink."""
    lines: list[str] = []
    guru.remove()
    guru.add(lines.append, format="{message}")
    with span("outer"):
        guru.info("message")
    assert ([("INFO", "message")], ["message\n"]) == (said(recording), lines)


def test_loguru_bound_to_our_name(recording: Recording, guru: Any) -> None:
    """A user may bind `instrument` to whatever it is in their trade."""
    with span("outer"):
        guru.bind(instrument="piano").info("tuned")
    assert ["piano"] == [log.metadata["instrument"] for log in recording.logs]


def test_own_notices_are_no_logs_of_the_program(
    recording: Recording, guru: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What the recording says about itself does not become a log of the span that was running."""
    monkeypatch.setattr(notices, "_said", set())
    with span("outer"):
        notices.notice("a sentence")
    assert ([], 1) == (recording.logs, len(guru.lines))


def test_loguru_can_be_copied_and_pickled(recording: Recording, guru: Any) -> None:
    """The logger, which carries our patcher, is deep-copied and pickled as before."""
    guru.remove()
    again = pickle.loads(pickle.dumps(guru))
    twin = copy.deepcopy(guru)
    lines: list[str] = []
    for one in (again, twin):
        one.add(lines.append, format="{message}")
        with span("outer"):
            one.info("message")
    assert (2, 2) == (len(lines), len(recording.logs))


# from one to the other


class InterceptHandler(logging.Handler):
    """Sends what the standard library logs to loguru, as loguru's documentation advises."""

    def emit(self, record: logging.LogRecord) -> None:
        loguru_logger.opt(depth=6, exception=record.exc_info).log(record.levelname, record.getMessage())


class PropagateHandler(logging.Handler):
    """Sends what loguru logs to the standard library, as loguru's documentation advises."""

    def emit(self, record: logging.LogRecord) -> None:
        logging.getLogger(record.name).handle(record)


def test_standard_to_loguru_is_taken_once(recording: Recording, standard: logging.Logger, guru: Any) -> None:
    """A log that passes from the standard library through loguru is one log, and reaches loguru's sinks."""
    standard.addHandler(InterceptHandler())
    with span("outer"):
        standard.info("through")
        guru.info("direct")
    assert ([("INFO", "through"), ("INFO", "direct")], 2) == (said(recording), len(guru.lines))


def test_loguru_to_standard_is_taken_once(recording: Recording, guru: Any) -> None:
    """A log that passes from loguru through the standard library is one log, and reaches its handlers."""
    lines: list[str] = []
    handler = logging.Handler()
    handler.emit = lambda record: lines.append(record.getMessage())  # type: ignore[method-assign]
    logger = logging.getLogger(__name__)
    logger.addHandler(handler)
    guru.add(PropagateHandler(), format="{message}")
    try:
        with span("outer"):
            guru.info("through")
            logger.warning("direct")
    finally:
        logger.removeHandler(handler)
    assert (["through\n", "direct"], ["through", "direct"]) == (
        [line + "\n" if line == "through" else line for line in lines],
        [message for _, message in said(recording)],
    )


@pytest.mark.parametrize("imported", ["before", "after"])
def test_loguru_imported_before_or_after_recording_began(imported: str) -> None:
    """The bridge attaches whichever is first, and loguru is imported by the program, not by us."""
    lines = ["from instrument import span", "from instrument.testing import record"]
    later = ["with record() as recording:", " with span('s'):"]
    body = ["  print('loguru' in sys.modules)", "  from loguru import logger", "  logger.info('message')"]
    first = ["import sys"] + (["import loguru"] if imported == "before" else [])
    program = [*first, *lines, *later, *body, " print([log.message for log in recording.logs])"]
    done = python("-c", "\n".join(program))
    assert (f"{imported == 'before'}\n['message']\n", 1) == (done.stdout, done.stderr.count("message"))


def test_loguru_is_what_was_tested() -> None:
    """loguru still keeps its patcher where the bridge looks for it."""
    assert hasattr(loguru.logger._core, "patcher")  # type: ignore[attr-defined]
