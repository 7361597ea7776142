"""Measures of how well models do their part: run by hand with a model of one's own, they cost calls."""
