"""Saved workflows: their shapes, and writes under their preconditions."""
