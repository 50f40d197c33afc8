"""Processes that the fault suite starts: the real ones, but for waits that a test has no time for."""
