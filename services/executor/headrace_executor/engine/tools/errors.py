"""What a tool says when it has no result."""


class ToolFailed(Exception):
    """The arguments have no result; the same ones never will."""
