"""A daemon that may not be surprised, requests to it of which every byte can be chosen, and how a refusal looks."""

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.helpers.daemon import Daemon
from tests.helpers.raw_http import Answer, exchange, request_bytes


@contextmanager
def quiet_daemon(directory: Path, environment: dict[str, str] | None = None, **settings: object) -> Iterator[Daemon]:
    """A daemon with four slots, whatever the machine has; none of what is asked of it may end in a traceback."""
    daemon = Daemon(directory, **{"max_concurrent_workers": 4, **settings})
    try:
        daemon.start(**(environment or {}))
        yield daemon
        assert "Traceback" not in daemon.log()
    except BaseException:
        sys.stderr.write(daemon.log())
        raise
    finally:
        daemon.end()


async def ask(
    daemon: Daemon,
    method: str,
    path: str,
    document: object = None,
    *,
    body: bytes = b"",
    headers: dict[str, str] | None = None,
) -> Answer:
    """One request on a connection of its own, with the right Host unless `headers` has one.

    `document` goes as JSON; `body` goes as it is, with the Content-Type of `headers`.
    """
    sent = {"Host": f"localhost:{daemon.port}"}
    if document is not None:
        body = json.dumps(document).encode()
        sent["Content-Type"] = "application/json"
    return await exchange(daemon.port, request_bytes(method, path, list({**sent, **(headers or {})}.items()), body))


def assert_refused(answer: Answer, status: int, code: str, *fragments: str) -> None:
    """The answer is this failure, in the documented envelope, and its sentence says all of this."""
    assert (answer.status, answer.code) == (status, code), answer.body
    assert set(answer.json) == {"success", "error", "timestamp"}
    assert set(answer.json["error"]) <= {"code", "message", "details"}
    for fragment in fragments:
        assert fragment in answer.json["error"]["message"]
