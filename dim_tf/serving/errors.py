"""What a client is told when a request cannot be answered."""


class RequestError(Exception):
    """A request's own fault, with the HTTP status that says so."""

    def __init__(self, status: int, message: str):
        super().__init__(message)
        self.status = status
