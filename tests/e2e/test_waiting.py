"""What waits says for what: a slot that others hold, or an upstream."""

from pathlib import Path

from tests.helpers.daemon import running_daemon
from tests.helpers.waiting import wait_until


async def test_what_waits_says_for_what(tmp_path: Path) -> None:
    go = tmp_path / "go"
    hold = {"name": "held", "command": f"until [ -e {go} ]; do sleep 0.02; done"}
    with running_daemon(tmp_path / "daemon", max_concurrent_workers=1) as daemon:
        daemon.create("holder", [hold])
        daemon.create("other", [{"name": "first", "command": "true"}, *follower_of("first")])
        daemon.start_run("holder")
        await wait_until(lambda: daemon.get("/api/workers/holder/held")["status"] == "running", on_timeout="it runs")
        run = daemon.start_run("other")
        waiting = {name: (row["phase"], row["reason"]) for name, row in daemon.workers_of(run).items()}
        assert waiting == {
            "first": ("queued", "waits for a slot, 1 of 1 are taken (max_concurrent_workers)"),
            "second": ("waiting", "waits for 'first'"),
        }
        assert daemon.get("/api/health")["workers"] == {"running": 1, "queued": 1}
        go.touch()
        daemon.wait_for_run("other")
        ended = {name: (row["status"], row["phase"], row["reason"]) for name, row in daemon.workers_of(run).items()}
        assert set(ended.values()) == {("completed", None, None)}


def follower_of(upstream: str) -> list[dict[str, object]]:
    return [{"name": "second", "command": "true", "after": [upstream]}]
