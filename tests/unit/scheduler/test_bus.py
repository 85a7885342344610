"""The bus: every event to every listener, in order, from when it listens until it stops."""

from scheduler.bus import Bus
from schemas.events import Event

FIRST, SECOND = Event("t1", "run.started", 1), Event("t2", "run.completed", 1)


def test_every_listener_hears_every_event_in_order() -> None:
    bus = Bus()
    heard: list[tuple[str, Event]] = []
    bus.listen(lambda event: heard.append(("a", event)))
    bus.listen(lambda event: heard.append(("b", event)))
    bus.publish([FIRST, SECOND])
    assert heard == [("a", FIRST), ("b", FIRST), ("a", SECOND), ("b", SECOND)]


def test_nobody_hears_what_was_before_or_after() -> None:
    bus = Bus()
    heard: list[Event] = []
    bus.publish([FIRST])
    stop = bus.listen(heard.append)
    bus.publish([SECOND])
    stop()
    bus.publish([FIRST])
    assert heard == [SECOND]


def test_a_listener_may_stop_or_begin_while_it_is_told() -> None:
    bus = Bus()
    heard: list[str] = []

    def once(event: Event) -> None:
        heard.append(event.type)
        stop()
        bus.listen(lambda event: heard.append(f"late {event.type}"))

    stop = bus.listen(once)
    bus.listen(lambda event: heard.append(f"other {event.type}"))
    bus.publish([FIRST, SECOND])
    assert heard == ["run.started", "other run.started", "other run.completed", "late run.completed"]


def test_nothing_happens_without_listeners() -> None:
    Bus().publish([FIRST])
