"""Kinds of spans that are told apart in more than one layer; a kind is an open word."""

MODEL_KINDS = frozenset({"llm", "embedding"})
"""Kinds of spans that are calls of a model: they have usage and cost."""

ANNOUNCED = frozenset({"agent", "workflow", "step"})
"""Kinds of spans that live views show when they begin, before what happens in them."""
