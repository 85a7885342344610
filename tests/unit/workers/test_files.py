"""A worker's files: what is made before the start, what is looked at after the end, and when stdout becomes a file."""

import os
import resource
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from workers.files import (
    ABSENT,
    Collected,
    OutputFact,
    Ready,
    WorkerFiles,
    collect,
    explain_missing,
    make_ready,
    missing_inputs,
    version_of,
)
from workers.log_cap import enforce_cap
from workers.log_links import link_logs

LONG_AGO_MS = 0


class Place:
    """A working directory, the log of standard output, and an attempt that goes through its life there."""

    def __init__(self, folder: Path) -> None:
        self.work, self.log = folder / "work", folder / "attempt.out"
        self.recorded: dict[str, str] = {}

    def path(self, name: str) -> str:
        return str(self.work / name)

    def files(self, *outputs: str, **more: Any) -> WorkerFiles:
        given: dict[str, Any] = {"outputs": {Path(name).stem: self.path(name) for name in outputs}, **more}
        return WorkerFiles(str(self.work), **given)

    def write(self, name: str, text: str = "from the command") -> None:
        (self.work / name).parent.mkdir(parents=True, exist_ok=True)
        (self.work / name).write_text(text)

    def attempt(self, files: WorkerFiles, printed: str = "", *actions: Any) -> Collected:
        """Start, print and act, end with 0; what was captured is remembered as the store does."""
        ready = make_ready(files, self.recorded.get(files.only_output or ""))
        assert ready.error is None
        self.log.write_text(printed)
        for action in actions:
            action()
        collected = collect(files, ready.stdout_to, str(self.log), LONG_AGO_MS)
        self.recorded.update({fact.path: fact.version for fact in collected.outputs if fact.source == "stdout"})
        return collected


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path)


def sources(collected: Collected) -> dict[str, tuple[str, int]]:
    assert collected.error is None
    return {fact.name: (fact.source, fact.size_bytes) for fact in collected.outputs}


# -- before the start ------------------------------------------------------------------------------


def test_directories_are_made(place: Place) -> None:
    files = place.files("out/deep/a.txt", "b.txt")
    assert make_ready(files) == Ready()
    assert (place.work / "out" / "deep").is_dir()
    assert make_ready(files) == Ready()


def test_what_is_missing_is_listed_by_path(place: Place) -> None:
    place.write("here.txt")
    inputs = {"a": place.path("here.txt"), "b": place.path("gone.txt"), "c": place.path("gone/too.txt")}
    missing = (place.path("gone.txt"), place.path("gone/too.txt"))
    assert make_ready(place.files(inputs=inputs)).missing_inputs == missing
    assert missing_inputs(inputs) == list(missing)


def test_a_directory_is_an_input_too(place: Place) -> None:
    place.write("folder/x")
    assert missing_inputs({"a": place.path("folder")}) == []


def test_a_file_in_the_way_of_the_working_directory_is_named(place: Place) -> None:
    place.work.write_text("in the way")
    error = make_ready(place.files()).error
    assert error == f"working directory '{place.work}' cannot be made: a file of that name is there"
    below = WorkerFiles(f"{place.work}/sub")
    assert make_ready(below).error == f"working directory '{place.work}/sub' cannot be made: Not a directory"


def test_a_file_in_the_way_of_an_output_is_named(place: Place) -> None:
    place.write("out")
    ready = make_ready(place.files("out/a.txt"))
    assert ready.error == f"output directory '{place.path('out')}' cannot be made: File exists"


@pytest.fixture
def unprivileged() -> Iterator[Path]:
    """A directory in which nobody may write, as somebody to whom that applies."""
    with tempfile.TemporaryDirectory() as folder:
        os.chmod(folder, 0o555)
        before = os.geteuid()
        if before == 0:
            os.seteuid(65534)
        yield Path(folder)
        os.seteuid(before)


def test_a_directory_that_may_not_be_made_is_named_with_the_reason(unprivileged: Path) -> None:
    error = make_ready(WorkerFiles(f"{unprivileged}/work")).error
    assert error == f"working directory '{unprivileged}/work' cannot be made: Permission denied"
    error = make_ready(WorkerFiles(str(unprivileged), outputs={"a": f"{unprivileged}/out/a"})).error
    assert error == f"output directory '{unprivileged}/out' cannot be made: Permission denied"


def test_stdout_that_may_not_become_the_output_is_a_failure_with_the_reason(unprivileged: Path) -> None:
    files = WorkerFiles(str(unprivileged), outputs={"a": f"{unprivileged}/a.txt"})
    assert make_ready(files) == Ready(stdout_to=ABSENT)
    collected = collect(files, ABSENT, "/dev/null", LONG_AGO_MS)
    assert collected == Collected(error=f"standard output could not become '{unprivileged}/a.txt': Permission denied")


def test_the_version_of_the_only_output_is_remembered_where_it_is_from_stdout(place: Place) -> None:
    files = place.files("a.txt")
    assert make_ready(files).stdout_to == ABSENT
    place.write("a.txt")
    version = version_of(place.path("a.txt"))
    assert make_ready(files).stdout_to is None
    assert make_ready(files, "1:2").stdout_to is None
    assert make_ready(files, version).stdout_to == version
    assert make_ready(place.files("a.txt", "b.txt"), version).stdout_to is None
    assert make_ready(place.files()).stdout_to is None


# -- stdout as the only output ---------------------------------------------------------------------


def test_stdout_becomes_the_only_output_that_was_absent_and_not_written(place: Place) -> None:
    collected = place.attempt(place.files("a.txt"), "printed\n")
    [fact] = collected.outputs
    assert fact == OutputFact("a", place.path("a.txt"), 8, "stdout", version_of(place.path("a.txt")) or "")
    assert (place.work / "a.txt").read_text() == "printed\n"
    assert os.listdir(place.work) == ["a.txt"]


def test_nothing_printed_is_an_empty_output(place: Place) -> None:
    assert sources(place.attempt(place.files("a.txt"))) == {"a": ("stdout", 0)}


def test_what_the_command_wrote_stays(place: Place) -> None:
    collected = place.attempt(place.files("a.txt"), "printed", lambda: place.write("a.txt", "written"))
    assert sources(collected) == {"a": ("command", 7)}
    assert (place.work / "a.txt").read_text() == "written"


def test_a_second_run_replaces_what_the_first_had_printed(place: Place) -> None:
    for printed in ("first", "the second"):
        assert sources(place.attempt(place.files("a.txt"), printed)) == {"a": ("stdout", len(printed))}
        assert (place.work / "a.txt").read_text() == printed


def test_a_file_from_before_is_never_replaced(place: Place) -> None:
    place.write("a.txt", "a person's")
    assert sources(place.attempt(place.files("a.txt"), "printed")) == {"a": ("command", 10)}
    assert (place.work / "a.txt").read_text() == "a person's"


def test_a_file_that_was_from_stdout_and_that_somebody_changed_is_never_replaced(place: Place) -> None:
    place.attempt(place.files("a.txt"), "printed")
    place.write("a.txt", "a person's")
    assert sources(place.attempt(place.files("a.txt"), "printed again")) == {"a": ("command", 10)}
    assert (place.work / "a.txt").read_text() == "a person's"


def test_what_the_command_wrote_over_an_earlier_print_stays(place: Place) -> None:
    place.attempt(place.files("a.txt"), "printed")
    collected = place.attempt(place.files("a.txt"), "progress...", lambda: place.write("a.txt", "written"))
    assert sources(collected) == {"a": ("command", 7)}


def test_a_print_after_the_command_removed_the_earlier_one_becomes_the_output_again(place: Place) -> None:
    """`rm -f a.txt; print` must not fail every second time."""
    for printed in ("first", "second", "third"):
        remove = [lambda: (place.work / "a.txt").unlink(missing_ok=True)]
        assert sources(place.attempt(place.files("a.txt"), printed, *remove)) == {"a": ("stdout", len(printed))}
        assert (place.work / "a.txt").read_text() == printed


def test_a_file_from_before_that_the_command_removed_is_missing(place: Place) -> None:
    place.write("a.txt", "a person's")
    collected = place.attempt(place.files("a.txt"), "printed", lambda: (place.work / "a.txt").unlink())
    assert collected.error == f"output 'a' was not written: '{place.path('a.txt')}' does not exist"


def test_two_outputs_are_never_guessed(place: Place) -> None:
    collected = place.attempt(place.files("a.txt", "b.txt"), "printed", lambda: place.write("b.txt"))
    assert [fact.name for fact in collected.outputs] == ["b"]
    assert collected.error is not None
    assert not (place.work / "a.txt").exists()


def test_a_capture_that_was_cut_off_by_a_crash_is_known_again(place: Place) -> None:
    files = place.files("a.txt")
    ready = make_ready(files)
    place.log.write_text("printed")
    first = collect(files, ready.stdout_to, str(place.log), LONG_AGO_MS)
    assert collect(files, ready.stdout_to, str(place.log), LONG_AGO_MS) == first
    assert sources(first) == {"a": ("stdout", 7)}


def test_the_output_appears_whole_or_not_at_all(place: Place) -> None:
    files = place.files("a.txt")
    make_ready(files)
    collected = collect(files, ABSENT, str(place.log), LONG_AGO_MS)  # the log itself is gone
    assert collected.error == f"standard output could not become '{place.path('a.txt')}': No such file or directory"
    assert os.listdir(place.work) == []


def test_a_copy_that_cannot_be_finished_leaves_nothing(place: Place) -> None:
    files = place.files("a.txt")
    make_ready(files)
    place.log.write_bytes(b"x" * (1 << 20))
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 16, hard))
    try:
        collected = collect(files, ABSENT, str(place.log), LONG_AGO_MS)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert collected.error == f"standard output could not become '{place.path('a.txt')}': File too large"
    assert os.listdir(place.work) == []


def test_a_log_that_was_cut_in_the_middle_is_no_output(place: Place) -> None:
    files = place.files("a.txt")
    make_ready(files)
    with open(place.log, "wb") as log:
        log.writelines(b"x" * 65536 for _ in range(64))
    [action] = enforce_cap([str(place.log)], 1 << 20)
    if action.method != "punched":
        pytest.skip(f"this file system cannot punch holes: {action.sentence}")
    collected = collect(files, ABSENT, str(place.log), LONG_AGO_MS)
    assert collected == Collected(
        error=f"standard output was to become '{place.path('a.txt')}', but it passed the log size cap and part of it"
        " was dropped; write the file in the command, or raise log_max_bytes"
    )
    assert os.listdir(place.work) == []


@pytest.mark.parametrize("name", ["a" * 255, "数" * 85, "a" * 251 + ".txt"], ids=["latin", "han", "ending"])
def test_the_longest_names_can_be_captured(place: Place, name: str) -> None:
    assert sources(place.attempt(place.files(name), "printed")) == {Path(name).stem: ("stdout", 7)}


def test_an_output_that_is_a_link_to_nowhere_gets_stdout(place: Place) -> None:
    place.work.mkdir()
    os.symlink("nowhere", place.path("a.txt"))
    assert sources(place.attempt(place.files("a.txt"), "printed")) == {"a": ("stdout", 7)}


# -- outputs ---------------------------------------------------------------------------------------


def test_every_output_with_its_size(place: Place) -> None:
    collected = place.attempt(
        place.files("a.txt", "out/b.bin"),
        "printed",
        lambda: place.write("a.txt", "12"),
        lambda: place.write("out/b.bin", "123"),
    )
    assert sources(collected) == {"a": ("command", 2), "b": ("command", 3)}


def test_a_directory_can_be_an_output(place: Place) -> None:
    collected = place.attempt(place.files("parts"), "printed", lambda: place.write("parts/1.txt"))
    assert [(fact.name, fact.source) for fact in collected.outputs] == [("parts", "command")]
    again = place.attempt(place.files("parts"), "printed")
    assert (again.error, (place.work / "parts").is_dir()) == (None, True)


def test_without_outputs_there_is_nothing_to_look_at(place: Place) -> None:
    assert place.attempt(place.files(), "printed") == Collected()


# -- the sentence about what is missing ------------------------------------------------------------


def explain(place: Place, *missing: str, since_ms: int = LONG_AGO_MS) -> str:
    return explain_missing({Path(name).stem: place.path(name) for name in missing}, since_ms)


def test_nothing_was_written_beside_it(place: Place) -> None:
    place.work.mkdir()
    absent = f"output 'a' was not written: '{place.path('a.txt')}' does not exist"
    assert explain(place, "a.txt") == absent
    assert explain(place, "gone/a.txt") == absent.replace("a.txt", "gone/a.txt")


def test_what_was_written_beside_it_and_what_is_meant(place: Place) -> None:
    for name in ("result.json", "notes.md"):
        place.write(name)
    os.utime(place.path("notes.md"), (1, 1))
    assert explain(place, "results.json") == (
        f"output 'results' was not written: '{place.path('results.json')}' does not exist"
        " (written beside it: 'result.json', 'notes.md'; is 'result.json' meant?)"
    )


def test_what_was_there_before_the_start_is_not_named(place: Place) -> None:
    for name in ("old.txt", "new.txt"):
        place.write(name)
    now = time.time()
    os.utime(place.path("old.txt"), (now - 100, now - 100))
    sentence = explain(place, "result.json", since_ms=round(1000 * (now - 50)))
    assert sentence.endswith(" (written beside it: 'new.txt')")


def test_a_few_are_named_and_the_rest_is_counted(place: Place) -> None:
    for number in range(8):
        place.write(f"{number}")
        os.utime(place.path(f"{number}"), (number, number))
    assert explain(place, "results.json", since_ms=10).endswith(
        " (written beside it: '7', '6', '5', '4', '3' and 3 more)"
    )


def test_every_missing_output_has_its_sentence(place: Place) -> None:
    place.work.mkdir()
    first, second = explain(place, "a.txt", "b.txt").split("; ")
    assert first.startswith("output 'a' was not written")
    assert second.startswith("output 'b' was not written")


def test_the_folder_of_our_own_log_links_was_not_written_by_the_command(place: Place) -> None:
    place.work.mkdir()
    link_logs(place.path("results"), str(place.work.parent / "attempt"))
    assert explain(place, "result").endswith("does not exist")
    place.write("mine/stdout.log")
    assert "'mine'" in explain(place, "result")


def test_a_worker_that_wrote_another_name_is_told(place: Place) -> None:
    collected = place.attempt(
        place.files("a.csv", "b.csv"), "", lambda: place.write("a.csv"), lambda: place.write("b.cvs")
    )
    assert collected.error is not None
    assert collected.error.endswith("is 'b.cvs' meant?)")
    assert [fact.name for fact in collected.outputs] == ["a"]


def test_a_real_command_that_prints(place: Place) -> None:
    files = place.files("out/a.txt")
    ready = make_ready(files)
    with open(place.log, "ab") as log:
        subprocess.run(["echo", "hello"], stdout=log, cwd=place.work, check=True)
    assert sources(collect(files, ready.stdout_to, str(place.log), LONG_AGO_MS)) == {"a": ("stdout", 6)}
