"""The bus: events go from the store's commits to whoever listens inside this process. Listeners must be quick."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from schemas.events import Event


class Bus:
    """Publishes committed events, in order, to every listener."""

    def __init__(self) -> None:
        self._listeners: list[Callable[[Event], None]] = []

    def listen(self, listener: Callable[[Event], None]) -> Callable[[], None]:
        """Call `listener(event)` for every event from now on; returns how to stop it."""
        self._listeners.append(listener)
        return lambda: self._listeners.remove(listener)

    def publish(self, events: Iterable[Event]) -> None:
        """Tell all listeners."""
        for event in events:
            for listener in tuple(self._listeners):
                listener(event)
