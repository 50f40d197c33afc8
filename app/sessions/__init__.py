"""Which session comes next, and when it closes."""
