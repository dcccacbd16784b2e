"""Redshift's answers to what it does not do."""

from __future__ import annotations


class Refusal(Exception):  # noqa: N818 - it is an answer
    """An error that the client reads.

    Args:
        state: the SQLSTATE, five characters.
        message: as the client shows it.
    """

    def __init__(self, state: str, message: str) -> None:
        super().__init__(message)
        self.state = state
        self.message = message
