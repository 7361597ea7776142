"""Saved workflows: their shapes, and the preconditions under which they are written."""
