"""Kinds of spans that are told apart in more than one layer, and what they can count; a kind is an open word."""

MODEL_KINDS = frozenset({"llm", "embedding"})
"""Kinds of spans that are calls of a model: they have usage and cost."""

TOOL_KINDS = frozenset({"tool", "retrieval"})
"""Kinds of spans that ask something else than a model."""

CALLS = MODEL_KINDS | TOOL_KINDS
"""Kinds of spans that are no run of anything by themselves."""

ANNOUNCED = frozenset({"agent", "workflow", "step"})
"""Kinds of spans that live views show when they begin, before what happens in them."""

LARGEST_COUNT = 2**63 - 1
"""The most tokens that one call may be said to have taken: what a database can hold."""
