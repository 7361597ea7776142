"""The planner: turns an intent into a blueprint that is always valid."""
