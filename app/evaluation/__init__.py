"""Judgement: folds that never test what they train on, baselines, scores, and whether a version earned its place."""
