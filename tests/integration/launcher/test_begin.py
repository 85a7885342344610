"""How attempts begin: at most once, in order, never more than there are slots, and with what they were given."""

import errno
import os
import resource
from pathlib import Path

import pytest

from tests.helpers.launcher import HELD, PATH, LauncherProcess, Line, Message
from tests.helpers.processes import is_alive


def effects(launcher: LauncherProcess) -> list[str]:
    """What the workers of a test have appended to the file that they share."""
    path = launcher.work / "effects"
    return path.read_text().split() if path.exists() else []


# -- at most once -----------------------------------------------------------------------------------


def test_an_id_that_was_sent_twice_runs_once(launcher: LauncherProcess, line: Line) -> None:
    spec = launcher.shell("echo ran >> effects; " + HELD.format("go"))
    line.spawn(spec, spec)
    first = line.running(spec["id"])
    line.seen.clear()
    line.spawn(spec)
    assert line.running(spec["id"]) == first
    (launcher.work / "go").touch()
    assert line.end_of(spec["id"])["code"] == 0
    assert effects(launcher) == ["ran"]


def test_an_id_that_is_queued_is_queued_once(launcher: LauncherProcess) -> None:
    line = launcher.connect(slots=1)
    holder, spec = launcher.shell(HELD.format("go")), launcher.shell("echo ran >> effects")
    line.spawn(holder, spec, spec)
    line.running(holder["id"])
    line.spawn(spec)
    line.until(lambda message: message.get("id") == spec["id"] and message["state"] == "queued", "it is queued")
    (launcher.work / "go").touch()
    line.end_of(spec["id"])
    line.sync()
    assert effects(launcher) == ["ran"]


def test_an_id_that_has_ended_is_answered_with_its_end(launcher: LauncherProcess, line: Line) -> None:
    spec = launcher.shell("echo ran >> effects; exit 7")
    end = line.run(spec)
    line.seen.clear()
    assert line.run(spec) == end
    newer = launcher.connect()
    assert newer.run(spec) == end
    assert effects(launcher) == ["ran"]


def test_after_the_acknowledgement_an_id_means_nothing(launcher: LauncherProcess, line: Line) -> None:
    """What is acknowledged is forgotten, so a daemon sends no id again whose end it has on record: this is why."""
    spec = launcher.shell("echo ran >> effects")
    line.run(spec)
    line.send(["ack", [spec["id"]]])
    assert line.listing() == {}
    line.seen.clear()
    line.run(spec)
    assert effects(launcher) == ["ran", "ran"]


def test_an_acknowledgement_of_what_runs_changes_nothing(launcher: LauncherProcess, line: Line) -> None:
    spec = launcher.shell(HELD.format("go"))
    line.spawn(spec)
    line.running(spec["id"])
    line.send(["ack", [spec["id"], "unknown"]])
    assert line.listing()[spec["id"]]["state"] == "running"
    (launcher.work / "go").touch()
    assert line.end_of(spec["id"])["code"] == 0


# -- queue and slots --------------------------------------------------------------------------------


def test_never_more_than_the_slots_run(launcher: LauncherProcess) -> None:
    """Each says how many it sees, itself included."""
    line = launcher.connect(slots=3)
    text = "mkdir running.$$; ls -d running.* | wc -l >> effects; sleep 0.01; rmdir running.$$"
    specs = [launcher.shell(text) for _ in range(30)]
    line.spawn(*specs)
    for spec in specs:
        line.end_of(spec["id"])
    seen = [int(count) for count in effects(launcher)]
    assert len(seen) == 30
    assert max(seen) <= 3


def test_the_queue_is_served_in_order_without_a_word_from_the_daemon(launcher: LauncherProcess) -> None:
    line = launcher.connect(slots=1)
    specs = [launcher.shell(f"echo {number} >> effects") for number in range(20)]
    line.spawn(*specs)
    line.end_of(specs[-1]["id"])
    assert effects(launcher) == [str(number) for number in range(20)]


def test_more_slots_start_more_at_once(launcher: LauncherProcess) -> None:
    line = launcher.connect(slots=1)
    specs = [launcher.shell(HELD.format("go")) for _ in range(3)]
    line.spawn(*specs)
    line.running(specs[0]["id"])
    states = line.listing()
    assert [states[spec["id"]]["state"] for spec in specs] == ["running", "queued", "queued"]
    line.send(["configure", 3, {"PATH": PATH}])
    line.running(specs[2]["id"])
    (launcher.work / "go").touch()


def test_what_is_queued_is_taken_back_or_runs_nothing_between(launcher: LauncherProcess) -> None:
    """Exactly one answer for each, whatever the moment; what was taken back has never run."""
    line = launcher.connect(slots=2)
    specs = [launcher.shell(f"echo {number} >> effects") for number in range(200)]
    line.spawn(*specs)
    line.end_of(specs[20]["id"])
    line.send(["take_back", [spec["id"] for spec in specs]])
    ends = {spec["id"]: line.end_of(spec["id"]) for spec in specs}
    line.sync()
    told = [message["id"] for message in line.seen if message.get("state") == "exited"]
    assert sorted(told) == sorted(ends)
    ran = {int(number) for number in effects(launcher)}
    assert len(effects(launcher)) == len(ran)
    for number, spec in enumerate(specs):
        end = ends[spec["id"]]
        assert (end.get("code") == 0) == (number in ran), end
        assert bool(end.get("never_started")) == (number not in ran), end
    assert 21 <= len(ran) < 200


def test_what_runs_is_not_taken_back(launcher: LauncherProcess, line: Line) -> None:
    spec = launcher.shell(HELD.format("go"))
    line.spawn(spec)
    line.running(spec["id"])
    line.send(["take_back", [spec["id"], "unknown"]])
    assert line.listing()[spec["id"]]["state"] == "running"
    (launcher.work / "go").touch()
    assert line.end_of(spec["id"])["code"] == 0


def test_a_stop_takes_back_what_is_queued(launcher: LauncherProcess) -> None:
    line = launcher.connect(slots=1)
    holder, spec = launcher.shell(HELD.format("go")), launcher.shell("echo ran >> effects")
    line.spawn(holder, spec)
    line.send(["stop", spec["id"], 10, "stop"])
    end = line.end_of(spec["id"])
    assert (end["never_started"], end["cause"]) == (True, "stop")
    (launcher.work / "go").touch()
    line.end_of(holder["id"])
    line.sync()
    assert effects(launcher) == []


# -- what it begins with ----------------------------------------------------------------------------


def test_a_large_environment(launcher: LauncherProcess, line: Line) -> None:
    """300 KiB travel as an anonymous file."""
    environment = {f"LARGE_{number}": str(number) * 100_000 for number in range(3)}
    spec = launcher.shell('echo "${#LARGE_0} ${#LARGE_1} $LARGE_2"', env=environment)
    line.send_as_file(["spawn", spec])
    assert line.end_of(spec["id"])["code"] == 0
    assert launcher.stdout_of(spec["id"]).split() == ["100000", "100000", "2" * 100_000]


def test_the_environment_is_the_configured_one_and_its_own(launcher: LauncherProcess, line: Line) -> None:
    line.send(["configure", 1, {"PATH": "/usr/bin:/bin", "BOTH": "configured", "CONFIGURED": "1"}])
    spec = launcher.spec("env", env={"BOTH": "own", "OWN": "1"})
    line.run(spec)
    assert sorted(launcher.stdout_of(spec["id"]).split()) == sorted(
        ["BOTH=own", "CONFIGURED=1", "OWN=1", "PATH=/usr/bin:/bin", f"WATTLE_ATTEMPT_ID={spec['id']}"]
    )


def test_nothing_of_the_launchers_own_is_open_in_a_worker(launcher: LauncherProcess, line: Line) -> None:
    others = [launcher.shell(HELD.format("go")) for _ in range(2)]
    line.spawn(*others)
    spec = launcher.shell("ls /proc/$$/fd")
    assert line.run(spec)["code"] == 0
    assert launcher.stdout_of(spec["id"]).split() == ["0", "1", "2"]
    (launcher.work / "go").touch()


def test_the_pid_that_is_told_is_the_workers(launcher: LauncherProcess, line: Line) -> None:
    spec = launcher.shell("echo $$; " + HELD.format("go"))
    line.spawn(spec)
    told = line.running(spec["id"])
    assert is_alive(told["pid"])
    assert told["ticks"] == int(Path(f"/proc/{told['pid']}/stat").read_text().rpartition(") ")[2].split()[19])
    (launcher.work / "go").touch()
    line.end_of(spec["id"])
    assert launcher.stdout_of(spec["id"]) == f"{told['pid']}\n"


# -- what cannot begin ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("argv", "fields", "where", "number"),
    [
        (["none-such"], {}, "command", errno.ENOENT),
        (["./plain"], {}, "command", errno.EACCES),
        (["./neither"], {}, "command", errno.ENOEXEC),
        (["./no-interpreter"], {}, "command", errno.ENOENT),
        (["true", "x" * (1 << 18)], {}, "command", errno.E2BIG),
        (["true"], {"cwd": "/none/such"}, "directory", errno.ENOENT),
        (["true"], {"logs": "/none/such/log"}, "log", errno.ENOENT),
    ],
)
def test_what_cannot_run_says_what_was_to_blame(
    launcher: LauncherProcess, line: Line, argv: list[str], fields: Message, where: str, number: int
) -> None:
    for name, text, mode in (
        ("plain", "#!/bin/sh\n", 0o644),
        ("neither", "\x00\x01", 0o755),
        ("no-interpreter", "#!/none/such\n", 0o755),
    ):
        (launcher.work / name).write_text(text)
        (launcher.work / name).chmod(mode)
    spec = launcher.spec(*argv, **fields)
    line.send_as_file(["spawn", spec])
    end = line.end_of(spec["id"])
    assert (end["where"], end["errno"], end["error"]) == (where, number, os.strerror(number))
    assert (end.get("code"), end.get("signal"), end.get("lost")) == (None, None, None)
    assert line.run(launcher.spec("true"))["code"] == 0


def without_descriptors(launcher: LauncherProcess) -> tuple[int, int]:
    """Leaves the launcher no descriptor for a log; returns the limits that it had."""
    before = resource.prlimit(launcher.pid, resource.RLIMIT_NOFILE)
    used = len(os.listdir(f"/proc/{launcher.pid}/fd"))
    resource.prlimit(launcher.pid, resource.RLIMIT_NOFILE, (used, before[1]))
    return before


def test_a_machine_without_room_burns_no_attempt(launcher: LauncherProcess, line: Line) -> None:
    before = without_descriptors(launcher)
    spec = launcher.shell("echo ran >> effects")
    line.spawn(spec)
    delayed = line.until(lambda message: message["type"] == "delayed", "it is told to wait")
    assert (delayed["id"], "Too many open files" in delayed["reason"]) == (spec["id"], True)
    assert line.listing()[spec["id"]]["state"] == "queued"
    resource.prlimit(launcher.pid, resource.RLIMIT_NOFILE, before)
    assert line.end_of(spec["id"])["code"] == 0
    assert effects(launcher) == ["ran"]


def test_what_waits_for_room_can_be_stopped(launcher: LauncherProcess, line: Line) -> None:
    before = without_descriptors(launcher)
    spec = launcher.shell("echo ran >> effects")
    line.spawn(spec)
    line.until(lambda message: message["type"] == "delayed", "it is told to wait")
    line.send(["stop", spec["id"], 0, "stop"])
    assert line.end_of(spec["id"])["never_started"]
    resource.prlimit(launcher.pid, resource.RLIMIT_NOFILE, before)
    other = launcher.shell("echo other >> effects")
    line.run(other)
    assert effects(launcher) == ["other"]
