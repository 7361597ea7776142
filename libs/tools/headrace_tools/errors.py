"""Why a tool gave no result. Plain data."""

from typing import Literal

from headrace_runtime.settings import InvalidFile

Reason = Literal["invalid", "refused", "away", "deadline", "too_large", "failed"]
"""invalid: the arguments are not the tool's; refused: the address or the credentials; away: nobody answers, or 429 and 5xx;
deadline; too_large: the answer; failed: it answered with an error of its own."""


class ToolFailed(Exception):
    """A call that has no result. The text is for the run's reader and holds no secret."""

    def __init__(self, message: str, *, reason: Reason, retry_after_s: float | None = None) -> None:
        super().__init__(message)
        self.reason = reason
        self.retry_after_s = retry_after_s

    @property
    def passes(self) -> bool:
        """Whether another attempt may succeed."""
        return self.reason in ("away", "deadline")


class InvalidToolsFile(InvalidFile):
    """A tools.yaml that cannot be used; the text names each fault with its line."""
