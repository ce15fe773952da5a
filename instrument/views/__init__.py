"""Views: a trace and what was found in it, as text and files.

text: text outline folding brief detail code live nesting tables difference sets changed_words evidence theme
files: files plain csv chat chrome lanes html
OpenTelemetry: otel genai openinference carried otlp
the page: server catalog columns compared answers
"""
