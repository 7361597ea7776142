"""Changing a page by one sentence: which slots it concerns, and what becomes of the blueprint."""
