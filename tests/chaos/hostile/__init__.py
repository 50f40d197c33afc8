"""Requests that nobody means well with: structure from the schema, values from a list of old wounds, messy files."""
