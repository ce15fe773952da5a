"""How spans stand, beyond `ok`, `error` and `cancelled`: names that every layer uses."""

OPEN, UNFINISHED = "open", "unfinished"
"""Statuses of spans without an end: those that may still run, and those whose process is known to run no more."""
UNENDED = (OPEN, UNFINISHED)
REFUSED = "refused"
"""The status of a call that a budget or the loop breaker did not let be made: no model or tool call, and no failure."""
FAILED = ("error", REFUSED)
"""Statuses of spans that did not come to what was asked for."""
