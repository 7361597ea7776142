"""Runs the suite's processes on one machine: plan (which), process (one), supervise (all), state (for others to read).

`plan` and `policy` are pure. Nothing here knows what the commands print.
"""
