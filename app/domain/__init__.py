"""Nouns: frozen, framework-free, the vocabulary that every other package speaks."""
