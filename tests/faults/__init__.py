"""Runs of the real command line in which something is killed, stopped, filled up or cut, at random moments.

`python -m tests.faults --help`; `make test-faults` is its short form.
"""
