"""Which runs are taken on now, and when the others may come back."""
