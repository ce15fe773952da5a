"""What to do about a finding, by the name of its detector, in one sentence."""

from __future__ import annotations

from instrument.model import Finding

ADVICE = {
    "again_after_failure": "Show the model the error text and what it may change, or make the tool retry by itself.",
    "context_growth": "Drop or summarise old turns, shorten tool results, put what never changes first: it is cached.",
    "cut_answer": "Raise the output limit or ask for less at once; look at how the answer ended before it is used.",
    "cycle": "Tell the model what the round already gave it, and end the run when nothing changes.",
    "error_storm": "Look at the first failure; let the run end early when its tools are not available.",
    "hallucinated_tool": "Name the tools in the prompt as they are offered, or offer the one that is missed.",
    "near_repeat": "Keep the questions already asked in the prompt, with what they gave, and ask for another approach.",
    "no_progress": "Tell the model that the search gave nothing, and limit how long it may go on.",
    "repeated_call": "Give the earlier result back and say so, or cache it; tell a model what its answer lacked.",
    "restart": "Check that the conversation is kept: the agent no longer knows its first steps.",
    "slow": "Compare with the calls around it: another model, a longer prompt, a busy service.",
    "spending": "Look for the call with the longest prompt; set a budget for the run.",
    "stalled": "Give the call a timeout.",
    "tool_abuse": "Limit these calls, or split the task; where so many are meant raise detectors.calls_of_one_tool.",
    "wrong_arguments": "Say in the schema what the tool takes, check what is given, and tell the model what is wrong.",
}

WHERE_IT_FAILED = {
    "repeated_call": "Look at the failure first; where it passes of itself, wait longer between tries, in one "
    "place only: clients of models try again by themselves.",
}
"""What to do instead where each of the calls failed."""


def advice_of(finding: Finding) -> str | None:
    """What to do about the finding; None for a detector of somebody else's."""
    failed = WHERE_IT_FAILED.get(finding.detector) if finding.data.get("failed") is True else None
    return failed or ADVICE.get(finding.detector)
