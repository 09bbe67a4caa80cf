"""Where run folders may lie: a path, or a URL of an object store (`s3://bucket/prefix`)."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator

from pathnet_rl.errors import UserError
from pathnet_rl.redaction import HIDDEN, redacted

FOLDER_VARIABLE = "PATHNET_RL_FOLDER"
"""The environment variable that is the default of --folder."""
JOB_VARIABLE = "RAY_JOB_CONFIG_JSON_ENV_VAR"
"""What ray's job manager sets for a job's entry point, and for no other process."""


try:
    _HERE = Path.cwd()
except OSError:  # It is deleted.
    _HERE = Path()


def path_of(place: str, name: str) -> Path:
    """The folder of a name at a place that is a path, wherever an environment has changed the folder to.

    Raises:
        UserError: it is no text.
    """
    path = _HERE / place / name
    _check_text(str(path))
    return path


def is_url(place: str) -> bool:
    """Whether a place is a URL and no path of this machine."""
    return "://" in place


def _check_text(place: str) -> None:
    """Find out whether a place is text.

    Raises:
        UserError: it is bytes that are none.
    """
    try:
        place.encode()
    except UnicodeError as error:
        raise UserError(
            f"--folder {place!a} is no text in UTF-8, which TensorBoard wants of its files' names; give"
            " another one, or set LC_ALL=C.UTF-8 if it is text in the terminal"
        ) from error


def _place(place: str) -> str:
    """A place that results can lie in: `file:///runs` is `/runs`, `~` and `$HOME` are what a shell says.

    Raises:
        UserError: it is a URL that nothing can be kept at.
    """
    if "\0" in place:
        raise UserError(f"--folder {place!r} is no path: it has a NUL in it")
    if not place.strip():
        raise UserError(
            "--folder is empty, as a variable that is not set leaves it; give a path or a URL"
        )
    _check_text(place)
    if redacted(place) != place or HIDDEN in place:
        raise UserError(
            f"--folder {redacted(place)} has credentials in it, which would end up in files and logs; give"
            " them as the store's own settings: AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or its file"
        )
    if not is_url(place):
        try:
            return os.path.expandvars(Path(place).expanduser())
        except RuntimeError as error:
            raise UserError(f"--folder {place}: there is no such home folder ({error})") from error
    protocol, _, rest = place.partition("://")
    if protocol in ("file", "local"):
        if not rest.startswith("/"):
            raise UserError(f"--folder {place} is no absolute path; write it as file:///{rest}")
        return rest
    if protocol == "memory":
        raise UserError(
            f"--folder {place} would be gone with this process; give a path, or a URL such as"
            " s3://bucket/prefix"
        )
    from fsspec import available_protocols

    if protocol not in available_protocols() or not rest.strip("/"):
        raise UserError(
            f"--folder {place} is no place that is known; give a path, or a URL such as"
            " s3://bucket/prefix or gs://bucket/prefix"
        )
    return place.rstrip("/")


Place = Annotated[str, AfterValidator(_place)]
"""The type of a configuration's `folder`."""


def default_place() -> str:
    """Where run folders are made if nobody says where.

    What is wrong with PATHNET_RL_FOLDER is told by the command that is to use it: defaults are made while
    modules are imported.
    """
    given = os.environ.get(FOLDER_VARIABLE) or "runs"
    try:
        return _place(given)
    except UserError:
        return redacted(given)


def in_job() -> bool:
    """Whether this process is the entry point of a ray job."""
    try:
        metadata = json.loads(os.environ.get(JOB_VARIABLE, "{}")).get("metadata") or {}
    except (ValueError, AttributeError):
        return False
    return "job_submission_id" in metadata


def check_outlives_job(place: str) -> None:
    """Refuse a place that is lost with a ray job: a path relative to the job's own folder.

    Raises:
        UserError: it is such a path.
    """
    if not is_url(place) and not Path(place).is_absolute():
        raise UserError(
            f"results in --folder {place} would be lost with the job, whose working folder ray deletes; give"
            " an absolute path on a file system that all nodes share, or a URL such as s3://bucket/prefix,"
            f" or set {FOLDER_VARIABLE} to one of them once"
        )
