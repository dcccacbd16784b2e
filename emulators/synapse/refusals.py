"""Synapse's answers to what it does not do."""

from __future__ import annotations

SYNTAX = 102


class Refusal(Exception):  # noqa: N818 - it is an answer
    """An error that the client reads.

    Args:
        number: SQL Server's number of the error.
        message: as the client shows it.
    """

    def __init__(self, number: int, message: str) -> None:
        super().__init__(message)
        self.number = number
        self.message = message


def near(word: str) -> Refusal:
    """The error of a parser that met a word it does not know."""
    return Refusal(SYNTAX, f"Incorrect syntax near '{word}'.")
