"""The job server of a ray cluster, where jobs are submitted, listed, followed and stopped."""

from __future__ import annotations

import asyncio
import contextlib
import http.client
import logging
import os
import tempfile
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import requests
from ray._private.ray_constants import get_runtime_env_default_excludes
from ray._private.runtime_env.packaging import create_package
from ray.exceptions import AuthenticationError
from ray.job_submission import JobDetails, JobSubmissionClient

from pathnet_rl.errors import UserError
from pathnet_rl.redaction import redacted

ADDRESS_VARIABLE = "RAY_API_SERVER_ADDRESS"
REACH_SECONDS = 5.0
"""How long the job server may take to answer the first time."""
ANSWER_SECONDS = 60.0
"""How long it may take later on, and how long a job may print nothing until the server is asked after it."""
STOP_SECONDS = 120
"""How long a stopped run may take to save before ray kills it; ray's own 3 seconds are too few."""


@dataclass(frozen=True)
class Driver:
    """Where the run's own process goes: to the head node, unless it asks for CPUs or labels."""

    cpus: float = 0.0
    labels: Mapping[str, str] | None = None


class _Client(JobSubmissionClient):
    """Ray's own waits for an answer without end."""

    def _do_request(self, method: str, endpoint: str, **options: Any) -> requests.Response:
        return super()._do_request(method, endpoint, timeout=ANSWER_SECONDS, **options)


class Jobs:
    """The jobs of the cluster whose job server RAY_API_SERVER_ADDRESS names.

    Every method raises UserError, one line, where the server does not answer, wants another token, or knows
    no such job.
    """

    def __init__(self) -> None:
        address = _address()
        _reach(address)
        self.address = redacted(address)
        for talkative in ("dashboard_sdk", "job.sdk"):
            logging.getLogger(f"ray.dashboard.modules.{talkative}").setLevel(logging.ERROR)
        with self._asking():
            self._client = _Client(address)

    def submit(
        self, name: str, command: str, package: Path, variables: Mapping[str, str], driver: Driver
    ) -> None:
        """Upload a package of code and run a command in it."""
        stop = {"RAY_JOB_STOP_WAIT_TIME_S": str(STOP_SECONDS)}
        with self._asking():
            self._client.submit_job(
                entrypoint=command,
                submission_id=name,
                runtime_env={"working_dir": str(package), "env_vars": {**stop, **variables}},
                entrypoint_num_cpus=driver.cpus or None,
                entrypoint_label_selector=dict(driver.labels) if driver.labels else None,
            )

    def all(self) -> list[JobDetails]:
        """Every job, the oldest first."""
        with self._asking():
            return sorted(self._client.list_jobs(), key=lambda job: job.start_time or 0)

    def status(self, name: str) -> str:
        """What has become of a job: PENDING, RUNNING, SUCCEEDED, FAILED or STOPPED."""
        with self._asking(name):
            return str(self._client.get_job_status(name).value)

    def follow(self, name: str) -> Iterator[str]:
        """What a job has printed and what it prints, until it ends."""
        self.status(name)
        lines = self._client.tail_job_logs(name)
        asked: list[asyncio.Future[str]] = []

        async def following() -> str | None:
            """What it prints next; None if it prints nothing for long."""
            if not asked:
                asked.append(asyncio.ensure_future(anext(lines)))
            done, _ = await asyncio.wait(asked, timeout=ANSWER_SECONDS)
            return asked.pop().result() if done else None

        # A runner ends what is under way when Ctrl-C comes, or the caller has heard enough.
        with asyncio.Runner() as runner, contextlib.suppress(StopAsyncIteration):
            while True:
                with self._asking(name):
                    text = runner.run(following())
                if text is None:
                    self.status(name)
                else:
                    yield text

    def stop(self, name: str) -> bool:
        """Ask a job to save and end; False if it has ended before."""
        with self._asking(name):
            return self._client.stop_job(name)

    @contextlib.contextmanager
    def _asking(self, name: str = "") -> Iterator[None]:
        """Turn what the client raises into one line."""
        try:
            yield
        except AuthenticationError as error:
            raise UserError(_about_token(self.address, str(error))) from error
        except (ConnectionError, requests.exceptions.RequestException, OSError) as error:
            raise UserError(
                f"the job server at {self.address} does not answer: {_first_line(error)}"
            ) from error
        except RuntimeError as error:
            if name and "404" in str(error):
                raise UserError(
                    f"there is no job {name} at {self.address}; `make jobs` lists them"
                ) from error
            raise UserError(f"{self.address} refused: {_first_line(error)}") from error


@contextlib.contextmanager
def package(checkout: Path) -> Iterator[Path]:
    """A zip file of what a run needs of a checkout: all but what .rayignore and .gitignore name.

    Ray's own packing, so that it is what `ray job submit --working-dir .` uploads.
    """
    logger = logging.getLogger("launch.package")
    logger.setLevel(logging.ERROR)
    with tempfile.TemporaryDirectory() as scratch:
        file = Path(scratch) / "code.zip"
        excludes = get_runtime_env_default_excludes()
        create_package(str(checkout), file, True, excludes=excludes, logger=logger)
        yield file


def _address() -> str:
    address = os.environ.get(ADDRESS_VARIABLE, "").rstrip("/")
    parsed = urllib.parse.urlsplit(address)
    if parsed.scheme not in ("http", "https") or not parsed.hostname:
        raise UserError(
            f"{ADDRESS_VARIABLE}={address} is not the address of a cluster's job server; write it as"
            " http://head:8265 (make: ADDRESS=http://head:8265)"
        )
    os.environ[ADDRESS_VARIABLE] = address  # Else the client would prefer RAY_ADDRESS.
    return address


def _reach(address: str) -> None:
    """Find out in seconds what the client would wait for without end.

    Raises:
        UserError: nobody answers.
    """
    try:
        urllib.request.urlopen(f"{address}/api/version", timeout=REACH_SECONDS).close()
    except urllib.error.HTTPError:
        return  # An answer, if only that a token is missing.
    except (OSError, ValueError, http.client.HTTPException) as error:
        reason = str(getattr(error, "reason", None) or error).strip()
        raise UserError(
            f"no ray cluster answers at {address}: {reason}; see that its head runs and that this machine"
            " reaches its dashboard's port"
        ) from error


def _about_token(address: str, said: str) -> str:
    remedy = (
        "set RAY_AUTH_MODE=token and RAY_AUTH_TOKEN (or RAY_AUTH_TOKEN_PATH, a file; ~/.ray/auth_token when"
        " neither is set) to what `ray get-auth-token` says on the head"
    )
    if "invalid" in said.lower():
        return f"the cluster at {address} refused the token; {remedy}"
    return f"the cluster at {address} wants a token and was sent none; {remedy}"


def _first_line(error: Exception) -> str:
    return (str(error) or type(error).__name__).strip().splitlines()[0]
