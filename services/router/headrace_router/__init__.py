"""Decides what a message wants. It answers no message, plans nothing and keeps nothing between calls."""
