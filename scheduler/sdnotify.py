"""Tells systemd how the daemon is doing: ready, status, alive, stopping. Silent where there is none."""

import logging
import os
import socket
from collections.abc import MutableMapping

log = logging.getLogger(__name__)


class SystemdNotifier:
    """Sends the messages of sd_notify(3) to systemd's socket; a message that cannot be sent is dropped.

    `watchdog_timeout_seconds` is how long systemd waits for the next `alive()` before it kills the daemon,
    None when it does not watch; call it at least twice as often.
    """

    def __init__(self, address: str | None = None, watchdog_timeout_seconds: float | None = None) -> None:
        self.watchdog_timeout_seconds = watchdog_timeout_seconds
        # an abstract socket is written with @ and bound with a NUL
        self._address = "\0" + address[1:] if address and address.startswith("@") else address

    @classmethod
    def from_environment(cls, environ: MutableMapping[str, str] | None = None) -> "SystemdNotifier":
        """The notifier for what systemd put into the environment, taken out so that no child ever sees it."""
        environ = os.environ if environ is None else environ
        address = environ.pop("NOTIFY_SOCKET", None)
        timeout_us = environ.pop("WATCHDOG_USEC", "")
        watched = environ.pop("WATCHDOG_PID", str(os.getpid()))
        if address is not None and address[:1] not in ("/", "@"):
            log.warning("NOTIFY_SOCKET holds no path and no abstract name, systemd is not told anything")
            address = None
        is_watched = timeout_us.isdecimal() and int(timeout_us) > 0 and watched == str(os.getpid())
        return cls(address, int(timeout_us) / 1e6 if is_watched else None)

    def ready(self, status: str = "") -> None:
        """The start is complete: requests are answered."""
        self._send("READY=1", status)

    def status(self, status: str) -> None:
        """One line for `systemctl status`."""
        self._send("", status)

    def alive(self) -> None:
        """Feed the watchdog."""
        self._send("WATCHDOG=1")

    def stopping(self, status: str = "") -> None:
        """The daemon is on its way out."""
        self._send("STOPPING=1", status)

    def _send(self, state: str, status: str = "") -> None:
        lines = [state] if state else []
        if status:
            # a line break would start another assignment
            lines.append("STATUS=" + " ".join(status.split()))
        if self._address is None or not lines:
            return
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as sock:
                # systemd that does not read must not stop the daemon
                sock.setblocking(False)
                sock.sendto("\n".join(lines).encode("utf-8", "replace"), self._address)
        except OSError as problem:
            log.debug("systemd could not be told %r: %s", lines, problem)
