"""The recording half: from a decorated call to batches of records in sinks. All state of the library is here.

decorating: decorators proxies wrappers plan classes blocks pickling
the live span: spans context switch program
its content: capture snapshot plain held texts objects showers failures logs
model calls: llm streams chunks http_bodies tools tables later
refusing: budgets scopes shared joint loops
behind the program: recorder pipeline room worth settling finished lines hidden sampling delivery lanes
beyond the thread: threads pools leaving launched headers otel_context shift breath half_loaded
other people's code: patching safely bridges
about itself: notices unloaded
"""
