"""What can go wrong with planning. A caller of the service never sees it: the template plan answers instead.

DraftFailed    no model wrote a plan: quota, absence, deadline, refusal
"""


class DraftFailed(Exception):
    """The model was not asked or did not answer."""

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason
        """lower_snake_case, for metrics and logs."""
        self.message = message
        """For the reader of the plan's warnings."""
