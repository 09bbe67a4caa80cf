"""Comparisons: pairs of games x arms x seeds x settings, made of ordinary runs."""
