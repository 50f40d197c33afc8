"""Where model bundles live: immutable folders, each file pinned by its hash."""
