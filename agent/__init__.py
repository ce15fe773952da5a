"""The reference agent: reviews Python files by planning, thinking and acting, with every step recorded by `instrument`.

`README.md` beside this file says what to read in which order; `reviewer.py` is the loop. Run it with

    python -m agent review PATH...
"""
