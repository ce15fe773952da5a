"""Sends records to an OpenTelemetry collector, or whatever else takes OTLP, as traces, logs and metrics.

What is on its way waits in memory and, while the target is away, in a bounded spool on disk, from which this process
or a later one sends it in order. The names are imported from where they are: `instrument.sinks.otlp.sink`.
"""
