"""Being told what changed, with real files and the real kernel."""

import asyncio
import contextlib
import os
import resource
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from tests.helpers.waiting import wait_until
from workers.inotify import Inotify

QUEUED_EVENTS = int(Path("/proc/sys/fs/inotify/max_queued_events").read_text())


@pytest.fixture
async def inotify() -> AsyncIterator[Inotify]:
    inotify = Inotify(asyncio.get_running_loop())
    yield inotify
    inotify.close()


def kernel_watches(inotify: Inotify) -> int:
    """How many the kernel really holds."""
    with open(f"/proc/self/fdinfo/{inotify._fd}") as file:
        return sum(line.startswith("inotify wd:") for line in file)


def nothing_left(inotify: Inotify) -> bool:
    return (kernel_watches(inotify), inotify._by_wd, inotify._by_path) == (0, {}, {})


@contextlib.contextmanager
def no_descriptors_left() -> Iterator[None]:
    """No further file can be opened while this lasts."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    probe = os.dup(0)
    os.close(probe)
    resource.setrlimit(resource.RLIMIT_NOFILE, (probe, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


async def test_tells_the_name_of_a_new_and_of_a_growing_file(inotify: Inotify, tmp_path: Path) -> None:
    names: list[str | None] = []
    inotify.watch(str(tmp_path), names.append)
    (tmp_path / "a.out").touch()
    await wait_until(lambda: "a.out" in names, on_timeout="creation was told")
    names.clear()
    (tmp_path / "a.out").write_bytes(b"x")
    await wait_until(lambda: "a.out" in names, on_timeout="growth was told")
    assert inotify.reason is None


async def test_a_file_moved_in_is_told(inotify: Inotify, tmp_path: Path) -> None:
    names: list[str | None] = []
    (tmp_path / "elsewhere").touch()
    (tmp_path / "runs").mkdir()
    inotify.watch(str(tmp_path / "runs"), names.append)
    (tmp_path / "elsewhere").rename(tmp_path / "runs" / "b.out")
    await wait_until(lambda: "b.out" in names, on_timeout="the move was told")


async def test_one_kernel_watch_serves_all_listeners_until_the_last_leaves(inotify: Inotify, tmp_path: Path) -> None:
    first: list[str | None] = []
    second: list[str | None] = []
    watches = [inotify.watch(str(tmp_path), names.append) for names in (first, second)]
    assert kernel_watches(inotify) == 1
    watches[0].close()
    watches[0].close()
    assert kernel_watches(inotify) == 1
    (tmp_path / "a").touch()
    await wait_until(lambda: "a" in second, on_timeout="the second listener was told")
    assert first == []
    watches[1].close()
    assert nothing_left(inotify)


async def test_two_paths_of_one_directory_are_both_told(inotify: Inotify, tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to("real")
    told: dict[str, list[str | None]] = {"real": [], "link": []}
    watches = {name: inotify.watch(str(tmp_path / name), told[name].append) for name in told}
    (tmp_path / "real" / "a").touch()
    await wait_until(lambda: told["real"] and told["link"], on_timeout="both were told")
    watches["link"].close()
    (tmp_path / "real" / "b").touch()
    await wait_until(lambda: "b" in told["real"], on_timeout="the remaining one was told")
    assert "b" not in told["link"]


async def test_a_directory_that_does_not_exist_yet_is_watched_once_it_is_made(inotify: Inotify, tmp_path: Path) -> None:
    names: list[str | None] = []
    watch = inotify.watch(str(tmp_path / "run"), names.append)
    (tmp_path / "run").mkdir()
    await wait_until(lambda: None in names, on_timeout="the new directory was told")
    (tmp_path / "run" / "a").touch()
    await wait_until(lambda: "a" in names, on_timeout="a file in it was told")
    assert kernel_watches(inotify) == 1
    watch.close()
    assert nothing_left(inotify)


async def test_waiting_for_a_directory_can_be_given_up(inotify: Inotify, tmp_path: Path) -> None:
    watch = inotify.watch(str(tmp_path / "run"), lambda _: None)
    assert kernel_watches(inotify) == 1
    watch.close()
    assert nothing_left(inotify)


async def test_a_directory_made_while_it_is_looked_for_is_not_missed(
    inotify: Inotify, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    names: list[str | None] = []
    made = tmp_path / "run"

    def make(_: str) -> bool:
        made.mkdir()
        return True

    monkeypatch.setattr(os.path, "isdir", make)
    inotify.watch(str(made), names.append)
    (made / "a").touch()
    await wait_until(lambda: "a" in names, on_timeout="a file in it was told")


async def test_a_directory_whose_parent_is_missing_too_is_found_by_retry(inotify: Inotify, tmp_path: Path) -> None:
    names: list[str | None] = []
    inotify.watch(str(tmp_path / "runs" / "run"), names.append)
    (tmp_path / "runs" / "run").mkdir(parents=True)
    inotify.retry()
    assert names == [None]
    (tmp_path / "runs" / "run" / "a").touch()
    await wait_until(lambda: "a" in names, on_timeout="a file in it was told")


async def test_a_directory_that_was_removed_and_made_again_is_watched_again(inotify: Inotify, tmp_path: Path) -> None:
    names: list[str | None] = []
    (tmp_path / "run").mkdir()
    inotify.watch(str(tmp_path / "run"), names.append)
    (tmp_path / "run").rmdir()
    await wait_until(lambda: None in names, on_timeout="the removal was told")
    (tmp_path / "run").mkdir()
    inotify.retry()
    (tmp_path / "run" / "a").touch()
    await wait_until(lambda: "a" in names, on_timeout="the new one is watched")


async def test_a_full_queue_tells_everybody_to_look(inotify: Inotify, tmp_path: Path) -> None:
    told: dict[str, list[str | None]] = {"one": [], "two": []}
    for name, names in told.items():
        (tmp_path / name).mkdir()
        inotify.watch(str(tmp_path / name), names.append)
    with (tmp_path / "one" / "a").open("wb", 0) as a, (tmp_path / "one" / "b").open("wb", 0) as b:
        # in turns: the kernel merges the same event twice
        for _ in range(QUEUED_EVENTS // 2 + 10):
            a.write(b"x")
            b.write(b"x")
    await wait_until(lambda: None in told["two"], on_timeout="the overflow was told to the idle directory")


async def test_a_flood_is_read_together(inotify: Inotify, tmp_path: Path) -> None:
    names: list[str | None] = []
    inotify.watch(str(tmp_path), names.append)
    writes = 0
    with (tmp_path / "a").open("wb", 0) as file:
        while len(names) < 20:
            file.write(b"x")
            writes += 1
            await asyncio.sleep(0)
    assert writes > 2 * len(names)


async def test_without_inotify_there_is_a_reason_and_nothing_breaks(tmp_path: Path) -> None:
    with no_descriptors_left():
        inotify = Inotify(asyncio.get_running_loop())
    assert inotify.reason == (
        "inotify is not available: Too many open files (fs.inotify.max_user_instances); logs are polled instead"
    )
    watch = inotify.watch(str(tmp_path), lambda _: None)
    inotify.retry()
    watch.close()
    inotify.close()


async def test_a_directory_that_cannot_be_watched_is_a_reason_until_it_is_left(
    inotify: Inotify, tmp_path: Path
) -> None:
    (tmp_path / "file").touch()
    watch = inotify.watch(str(tmp_path / "file"), lambda _: None)
    assert inotify.reason == "inotify cannot watch a log directory: Not a directory; its logs are polled instead"
    watch.close()
    assert inotify.reason is None


async def test_close_twice_and_closing_watches_afterwards_are_harmless(inotify: Inotify, tmp_path: Path) -> None:
    watch = inotify.watch(str(tmp_path), lambda _: None)
    inotify.close()
    inotify.close()
    watch.close()
