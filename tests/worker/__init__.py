"""Workers, their children and what is left after kill -9."""
