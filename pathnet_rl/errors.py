"""The one kind of error a user is shown as a single line, without a traceback."""

from __future__ import annotations


class UserError(Exception):
    """Bad input or surroundings: the message says what was wrong and what would be right."""
