"""The names that come nearest to one that is none."""

from __future__ import annotations

import difflib
from collections.abc import Iterable

MOST = 3


def nearest(wanted: str, known: Iterable[str]) -> list[str]:
    """At most three of the names that are known, by the whole of them or by the name without its family.

    In whatever case: pong, and ale/pong-v5, are ALE/Pong-v5.
    """
    names = list(known)
    whole = {name.lower(): name for name in names}
    short = {_short(name): name for name in names}
    found = [
        *(whole[hit] for hit in difflib.get_close_matches(wanted.lower(), whole, n=MOST)),
        *(short[hit] for hit in difflib.get_close_matches(_short(wanted), short, n=MOST)),
    ]
    return list(dict.fromkeys(found))[:MOST]


def _short(name: str) -> str:
    name = name.rpartition("/")[2].lower()
    return name.rpartition("-v")[0] or name
