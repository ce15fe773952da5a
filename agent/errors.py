"""What can go wrong here, each with one clear sentence as its message.

    AgentError
    ├── InputError    what was asked for cannot be reviewed
    ├── ModelError    the model's endpoint is down, refuses, or answers nonsense: the review ends
    └── ToolError     a tool cannot do what the model asked: the model is told and goes on

The command line turns the first two into exit codes 2 and 1.
"""

from __future__ import annotations


class AgentError(Exception):
    """Base of the agent's own errors."""


class InputError(AgentError):
    """What was asked for cannot be reviewed."""


class ModelError(AgentError):
    """The model cannot be reached, refuses, or answers something that is of no use."""


class ToolError(AgentError):
    """A tool cannot do what was asked; the model reads the message."""
