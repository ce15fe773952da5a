"""Everything this library raises.

    InstrumentError
    ├── SettingsError      a setting is unknown or its value cannot be used
    ├── BudgetExceeded     a budget refused the next call
    └── LoopDetected       the loop breaker refused the next call

Nothing else of ours ever reaches decorated code: faults of the recording itself are counted and
reported once, never raised.
"""


class InstrumentError(Exception):
    """Base of every error of this library."""


class SettingsError(InstrumentError):
    """A setting is unknown or its value cannot be used; the message names key, value, source and cure."""


class BudgetExceeded(InstrumentError):
    """The next call does not fit into a budget; nothing was sent for it."""


class LoopDetected(InstrumentError):
    """The next call would continue a pattern of repetition that was already reported."""
