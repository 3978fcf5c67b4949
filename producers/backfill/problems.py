"""What makes a whole file unreadable, told to the operator with what to do about it."""

from __future__ import annotations


class InputProblemError(Exception):
    """The file cannot be read, or not further; the text is for the operator."""

    def __init__(self, code: str, message: str, remedy: str) -> None:
        super().__init__(f"{message} {remedy}")
        self.code = code
        self.message = message
        self.remedy = remedy


def no_rows() -> InputProblemError:
    """Return the problem of a file that has a header only."""
    return InputProblemError("no_rows", "The file has a header and no rows.", "Is it the right file?")
