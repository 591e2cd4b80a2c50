"""Decisions from files that are sent at the desk: looked at, granted by the worker, their rejected rows given back."""
