"""What can go wrong with planning.

DraftFailed        no model wrote a plan: quota, absence, deadline, refusal. A caller never sees it: the template answers.
PatchUnclear       a sentence concerns no slot. The servicer answers with it, since it may have cost something.
FailedPrecondition (headrace_runtime.errors)
└── PatchTooLong   a prompt has no room for another change
"""

from headrace_llm.usage import Usage
from headrace_runtime import errors


class DraftFailed(Exception):
    """The model was not asked or did not answer."""

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason
        """lower_snake_case, for metrics and logs."""
        self.message = message
        """For the reader of the plan's warnings."""


class PatchUnclear(Exception):
    """Nobody could tell which slot a sentence concerns."""

    def __init__(self, message: str, usage: Usage) -> None:
        super().__init__(message)
        self.usage = usage
        """What a model cost that could not tell either."""


class PatchTooLong(errors.FailedPrecondition):
    """A slot was changed so often that its prompt is full."""

    default_reason = "PATCH_TOO_LONG"
