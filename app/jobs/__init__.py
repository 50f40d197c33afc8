"""Durable jobs: one leased row each; functions over one open transaction."""
