"""The command line: one small file a verb, named in `main`.

What takes long to load is imported where it is needed: `--help` loads every verb.

several verbs: main source moments sizes amounts over_all others printing intake
part of one: receiving reprice trials twice
"""
