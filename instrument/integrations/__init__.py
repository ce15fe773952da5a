"""One small file for each library, imported only when asked for.

clients: openai anthropic
what these two share: clients openai_calls openai_bodies openai_stream_usage openai_later openai_services
frameworks: langchain openai_agents mcp opentelemetry
what frameworks share: told
the web and queues: asgi wsgi served httpx celery
"""
