"""Saving calls: what was answered is not asked again, and what is being asked is asked once."""
