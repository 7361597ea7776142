"""What can go wrong with the API server."""


class ApiError(Exception):
    """The API server refused or did not answer. `code` is its HTTP status, 0 when there was no answer."""

    def __init__(self, message: str, *, code: int = 0) -> None:
        super().__init__(message)
        self.code = code


class NotFound(ApiError):
    """There is no such object."""


class FieldConflict(ApiError):
    """Somebody else owns the field that was to be set; `owners` are their field managers."""

    def __init__(self, message: str, *, owners: tuple[str, ...]) -> None:
        super().__init__(message, code=409)
        self.owners = owners
