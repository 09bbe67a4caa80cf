"""The one kind of error a user is shown as a single line, without a traceback."""

from __future__ import annotations

from pathnet_rl.redaction import redacted

MOST_CHARACTERS = 2000
"""Of a message: what it quotes may come from a file that holds anything."""


class UserError(Exception):
    """Bad input or surroundings: the message says what was wrong and what would be right.

    Whatever it quotes, it is one line without control characters, and without credentials.
    """

    def __init__(self, message: object) -> None:
        beginning = str(message)[: 4 * MOST_CHARACTERS]
        super().__init__(in_one_line(redacted(beginning), MOST_CHARACTERS))


def in_one_line(text: str, most: int) -> str:
    """A text of at most so many characters, without those that would begin a line or move a cursor."""
    words = "".join(letter if letter.isprintable() else " " for letter in text[: most + 1])
    line = " ".join(words.split()) if words != text else words
    return line if len(text) <= most else f"{line[: most - 4]} ..."


def said(error: BaseException) -> str:
    """What kind of error it is and what it says, in one line."""
    return f"{type(error).__name__}: {' '.join(str(error).split())}".rstrip(": ")
