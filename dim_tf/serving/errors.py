"""What a client is told when a request cannot be answered."""


class RequestError(Exception):
    """Why there is no answer, with the HTTP status that says whose fault."""

    def __init__(self, status: int, message: str):
        super().__init__(message)
        self.status = status
