"""Port: who tells workers of jobs that wait. The rows are the truth, so a word too many or too few does no harm."""
