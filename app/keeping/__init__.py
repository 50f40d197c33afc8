"""Keeping what the service knows: backups, moves from one database to another, and letting go of what has served."""
