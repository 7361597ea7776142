"""What a built-in tool says when it has no result."""

from headrace_tools import errors


class ToolFailed(errors.ToolFailed):
    """The arguments have no result; the same ones never will."""

    def __init__(self, message: str) -> None:
        super().__init__(message, reason="invalid")
