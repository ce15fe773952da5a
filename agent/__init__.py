"""The reference agent: reviews Python files by planning, thinking and acting, with every step recorded by `instrument`.

Read it in this order: `reviewer.py` is the loop, `tools.py` what it can do, `planning.py` and `memory.py` what it
keeps in mind, `prompts.py` and `answers.py` what is said to the model and what comes back. Run it with

    python -m agent review PATH...
"""
