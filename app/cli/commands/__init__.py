"""The commands and their options; what they do is imported when one is called, so that ``--help`` is quick."""
