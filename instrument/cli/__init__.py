"""The command line: one small file a verb, named in `main`.

several verbs: main source moments sizes amounts others printing intake
part of one: receiving reprice twice
"""
