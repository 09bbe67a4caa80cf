"""What nobody may read in a run folder, a log or an error: credentials in URLs and in the environment."""

from __future__ import annotations

import os
import re

HIDDEN = "***"

_USER_OF_URL = re.compile(r"(\w[\w+.-]*://)(?:[^\s'\"/@]*|[^\s'\"/@:]*:[^\s'\"@]*)@")
"""What stands between the :// and the @; secrets of AWS may have slashes in them."""
_QUERY_OF_URL = re.compile(
    r"([?&][\w.-]*(?:token|secret|password|signature|credential|key)[\w.-]*=)[^&\s'\"]+",
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
