"""Background processes: claim a job, run it in a fresh child, settle it."""
