"""What nobody may read in a run folder, a log or an error: credentials in URLs and in the environment."""

from __future__ import annotations

import os
import re

# All repetitions are bounded: what is looked through may be long, and made to take long.
HIDDEN = "***"

_USER_OF_URL = re.compile(r"(://)(?:[^\s'\"/@]{0,300}|[^\s'\"/@:]{0,300}:[^\s'\"@]{0,300})@")
"""What stands between the :// and the @; secrets of AWS may have slashes in them."""
_QUERY_OF_URL = re.compile(
    r"([?&][\w.-]{0,40}(?:token|secret|password|signature|credential|key)[\w.-]{0,40}=)[^&\s'\"]+",
    re.IGNORECASE,
)
_SECRET_VARIABLE = re.compile(r"(^|_)(SECRET|TOKEN|PASSWORD|PASSWD|CREDENTIALS?)(_|$)")
_SHORTEST = 8
"""Characters; what is shorter may be a word that means something else."""


def redacted(text: str) -> str:
    """The text without credentials in URLs, and without the values of variables that hold secrets."""
    text = _QUERY_OF_URL.sub(rf"\1{HIDDEN}", _USER_OF_URL.sub(rf"\1{HIDDEN}@", text))
    for name, value in os.environ.items():
        secret = len(value) >= _SHORTEST and _SECRET_VARIABLE.search(name.upper())
        if secret and not value.startswith(("/", "~")):  # Else it says where the secret lies.
            text = text.replace(value, HIDDEN)
    return text
