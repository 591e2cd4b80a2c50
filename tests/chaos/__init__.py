"""Faults on purpose: the whole service as processes, under load, while everything it stands on breaks.

`python -m tests.chaos --seconds N --seed S`, or `make chaos SECONDS=N SEED=S`. What phones and inboxes got is judged by
the sandbox's own record, never by the service's tables.
"""
