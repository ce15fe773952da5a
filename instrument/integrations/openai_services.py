"""The endpoints of OpenAI's language and of Anthropic's, and the services that speak them."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlsplit

OPERATIONS = {
    "/chat/completions": "chat",
    "/responses": "responses",
    "/responses/compact": "responses",
    "/embeddings": "embeddings",
    "/completions": "completions",
    "/messages": "messages",
}
SEMANTIC = {
    "chat": "chat",
    "responses": "chat",
    "messages": "chat",
    "embeddings": "embeddings",
    "completions": "text_completion",
}
"""`gen_ai.operation.name` for each of the client's endpoints: the Responses API is a chat to the conventions."""

API_TYPES = {
    "chat": "chat_completions",
    "responses": "responses",
    "embeddings": "embeddings",
    "completions": "completions",
}
"""`openai.api.type` of OpenAI's own endpoints."""

PROVIDERS = {
    "api.openai.com": "openai",
    "openai.azure.com": "azure.ai.openai",
    "cognitiveservices.azure.com": "azure.ai.openai",
    "services.ai.azure.com": "azure.ai.inference",
    "groq.com": "groq",
    "mistral.ai": "mistral_ai",
    "deepseek.com": "deepseek",
    "x.ai": "x_ai",
    "perplexity.ai": "perplexity",
    "moonshot.ai": "moonshot_ai",
    "openrouter.ai": "openrouter",
    "anthropic.com": "anthropic",
    "generativelanguage.googleapis.com": "gcp.gemini",
    "aiplatform.googleapis.com": "gcp.vertex_ai",
    "amazonaws.com": "aws.bedrock",
    "api.aws": "aws.bedrock",
    "cohere.com": "cohere",
    "watsonx.ai": "ibm.watsonx.ai",
    "cerebras.ai": "cerebras",
    "together.ai": "together",
    "together.xyz": "together",
    "fireworks.ai": "fireworks",
    "huggingface.co": "huggingface",
    "z.ai": "zai",
    "ollama.com": "ollama",
    "ai21.com": "ai21",
    "snowflakecomputing.com": "snowflake",
}
CLIENTS = {
    "BaseAzureClient": "azure.ai.openai",
    "BaseBedrockClient": "aws.bedrock",
    "BaseVertexClient": "gcp.vertex_ai",
    "Anthropic": "anthropic",
    "AsyncAnthropic": "anthropic",
}
"""Providers that the client's class tells where its address does not."""


def provider_of(client: Any) -> str | None:
    """The service behind a client, by its address and else by its class; None where neither tells."""
    classes = {kind.__name__ for kind in type(client).__mro__}
    host = urlsplit(str(client.base_url)).hostname or ""
    by_class = next((name for kind, name in CLIENTS.items() if kind in classes), None)
    by_host = next((name for end, name in PROVIDERS.items() if host == end or host.endswith("." + end)), None)
    return by_host or by_class
