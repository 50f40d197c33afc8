"""Alembic's environment: every revision of the schema, oldest first in ``versions``."""
