"""The command line. Exit code 0: reviewed, whatever was found; 1: the review was not finished; 2: it did not begin."""

from __future__ import annotations

import argparse
import io
import math
import sys
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from typing import TYPE_CHECKING, Any

from loguru import logger

from agent.errors import AgentError, InputError
from agent.report import Review, as_json, as_text
from agent.selection import Selection, select
from agent.workspace import alone_to_fix
from instrument import SettingsError, configure, shutdown

if TYPE_CHECKING:
    from agent.reviewer import Reviewer


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return the exit code."""
    wanted = parser().parse_args(arguments)
    set_up_output()
    try:
        review = run(wanted)
    except (InputError, SettingsError) as error:
        logger.error("agent: {}", error)
        return 2
    except KeyboardInterrupt:
        logger.error("agent: stopped from the keyboard")
        return 130
    if wanted.json:
        sys.stdout.write(as_json(review))
    elif review.outcome != "error" or review.findings or review.changed:
        sys.stdout.write(as_text(review))
    return 0 if review.outcome == "answered" else 1


def run(wanted: argparse.Namespace) -> Review:
    """Choose the files, connect to the model, review, and have everything recorded before the result is shown."""
    selection = select(wanted.paths)
    from agent.model import connect  # takes a second to import, and paths that are wrong are told at once
    from agent.reviewer import Limits, Reviewer

    alone = alone_to_fix(selection.workspace.root) if wanted.fix else nullcontext()
    with alone, connect(wanted.model) as endpoint:
        configure(**settings(endpoint.prices, wanted.budget_usd))
        try:
            if endpoint.notice:
                logger.info(endpoint.notice)
            reviewer = Reviewer(selection, endpoint, fix=wanted.fix, limits=Limits(max_steps=wanted.max_steps))
            return reviewed(reviewer, wanted.task or default_task(selection, wanted.fix))
        finally:
            shutdown()


def reviewed(reviewer: Reviewer, task: str) -> Review:
    """The review; when the model cannot be used one sentence says why, and there is what was found until then."""
    try:
        return reviewer.review(task)
    except AgentError as error:
        logger.error("agent: {}", error)
        return reviewer.unfinished("error", str(error))
    except KeyboardInterrupt:
        if reviewer.changed:
            logger.error("agent: changed until it was stopped: {}", ", ".join(reviewer.changed))
        raise


def settings(prices: Mapping[str, Any], budget_usd: float | None) -> dict[str, Any]:
    """What this run sets over the user's own settings."""
    own: dict[str, Any] = {"prices": prices} if prices else {}
    return own if budget_usd is None else {**own, "budget": {"usd": budget_usd}}


def default_task(selection: Selection, fix: bool) -> str:
    """The task where none is given."""
    files = ", ".join(selection.files)
    aim = "mend them and prove each with a test" if fix else "say how to mend them"
    return f"Find the real faults in {files} and {aim}."


def set_up_output() -> None:
    """Notices go to stderr without ornament, and nothing that a model says can break stdout."""
    logger.remove()
    logger.add(sys.stderr, format="{message}", level="INFO")
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")


def parser() -> argparse.ArgumentParser:
    """The options."""
    top = argparse.ArgumentParser(prog="python -m agent", description="A code-review agent, recorded by instrument.")
    review = top.add_subparsers(required=True, metavar="review").add_parser(
        "review",
        help="review Python files",
        description="Review Python files. With OPENAI_API_KEY the model is OpenAI's (or OPENAI_BASE_URL's); without it "
        "an embedded model reviews by static analysis, free and offline. Exit codes: 0 reviewed, 1 not finished, "
        "2 bad use.",
    )
    review.add_argument("paths", nargs="+", metavar="PATH", help="file, or folder whose *.py files are meant")
    review.add_argument("--task", type=text, help="what to look for (default: real faults)")
    review.add_argument("--model", help="the reviewing model, or two: REVIEWER,ANALYST (the second is cheaper)")
    review.add_argument("--max-steps", type=positive_int, default=30, help="steps after which to stop (default: 30)")
    review.add_argument("--budget-usd", type=positive_amount, help="money after which to stop")
    review.add_argument(
        "--fix",
        action="store_true",
        help="let the agent patch files, write and run tests; else only .agent/ is written",
    )
    review.add_argument("--json", action="store_true", help="print the review as one JSON object")
    return top


def text(argument: str) -> str:
    """An argument that says something; bytes that are no text are replaced."""
    if not argument.strip():
        raise argparse.ArgumentTypeError("must not be empty")
    return argument.encode(errors="replace").decode()


def positive_int(argument: str) -> int:
    """An argument that counts something."""
    if not argument.isascii() or not argument.isdigit() or int(argument) < 1:
        raise argparse.ArgumentTypeError(f"{argument!r} is no whole number above 0")
    return int(argument)


def positive_amount(argument: str) -> float:
    """An argument that is an amount of money."""
    try:
        amount = float(argument)
    except ValueError:
        amount = math.nan
    if not 0 < amount < math.inf:
        raise argparse.ArgumentTypeError(f"{argument!r} is no amount above 0")
    return amount
