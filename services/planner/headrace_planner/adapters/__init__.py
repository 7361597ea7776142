"""The planner's ports over real clients."""
