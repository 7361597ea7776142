"""The third-party clients of the executor, their errors translated at this border."""
