"""Bars become what a network reads, and what it says becomes a distribution: one code for training and serving."""
