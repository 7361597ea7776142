"""The other half: what a run does, step by step and node by node. It knows no database."""
