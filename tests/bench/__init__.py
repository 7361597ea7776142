"""Measurements, run by hand: `python -m tests.bench [NAME…]`. Each figure stands beside its floor, as a ratio."""
