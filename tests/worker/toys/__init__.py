"""Processes that the worker tests start: real ones, except for the work itself."""
