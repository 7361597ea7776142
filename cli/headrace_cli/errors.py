"""What ends a command early: one line that says what happened, and one that says what to do.

CliError
├── EdgeProblem       the edge answered with a problem (client.py)
├── EdgeAway          the edge does not answer
├── PartFailed        a process of the suite did not become ready
└── AlreadyUp         this state dir has a live supervisor
"""


class CliError(Exception):
    """A failure that its user is told about. `str()` is one line."""

    exit_code = 1

    def __init__(self, message: str, *, hint: str = "") -> None:
        super().__init__(" ".join(message.split()))
        self.hint = hint
        """What to do about it; may be empty."""


class EdgeAway(CliError):
    """Nobody answers at the edge's URL, or its stream broke and could not be resumed."""


class EdgeProblem(CliError):
    """The edge answered with a problem (RFC 9457)."""

    def __init__(self, message: str, *, status: int, hint: str = "", retry_after_s: float | None = None) -> None:
        super().__init__(message, hint=hint)
        self.status = status
        self.retry_after_s = retry_after_s


class PartFailed(CliError):
    """A process of the suite could not be started or did not become ready."""


class AlreadyUp(CliError):
    """Another supervisor holds this state dir."""
