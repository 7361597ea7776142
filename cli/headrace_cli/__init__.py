"""The `headrace` command: runs the suite on this machine and speaks to its edge as any client does."""
