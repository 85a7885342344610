"""What can be read back: lists in pages, graphs, definitions, past runs, metrics, health; names of any script."""

import re
import unicodedata
from typing import Any
from urllib.parse import quote

import yaml

from tests.e2e.asking import ask
from tests.e2e.watched import HELD, Watched
from tests.helpers.daemon import Daemon, path_of, running_daemon
from tests.helpers.processes import is_alive
from tests.helpers.waiting import wait_until

DIAMOND: list[dict[str, Any]] = [
    {"name": "top", "command": "echo 1", "outputs": {"o": "o.txt"}},
    {"name": "left", "command": "true", "inputs": {"i": "top/o"}},
    {"name": "right", "command": "true", "inputs": {"i": "o.txt"}},
    {"name": "bottom", "command": "true", "after": ["left", "right"]},
]


async def test_lists_in_pages_and_by_status(tmp_path_factory: Any) -> None:
    with running_daemon(tmp_path_factory.mktemp("pages")) as daemon:
        for number in range(5):
            daemon.create(f"w{number}", [{"name": "a", "command": "false" if number == 3 else "true"}])
        for number in (1, 3, 1):
            daemon.start_run(f"w{number}")
            daemon.wait_for_run(f"w{number}")
        names = {
            "": ["w0", "w1", "w2", "w3", "w4"],
            "?page=1&page_size=2": ["w0", "w1"],
            "?page=3&page_size=2": ["w4"],
            "?page=4&page_size=2": [],
            "?page=2": [],
            "?page_size=3": ["w0", "w1", "w2"],
            "?status=created": ["w0", "w2", "w4"],
            "?status=failed": ["w3"],
            "?status=created&page=2&page_size=2": ["w4"],
        }
        for query, expected in names.items():
            answer = daemon.ask("GET", f"/api/workflows{query}")
            assert [workflow["name"] for workflow in answer.data] == expected, query
            assert ("pagination" in answer.envelope) == ("page" in query)
        described = daemon.ask("GET", "/api/workflows?status=created&page=2&page_size=2").envelope["pagination"]
        assert described == {"page": 2, "page_size": 2, "total": 3, "pages": 2}
        runs = daemon.ask("GET", "/api/runs?page_size=2").envelope
        assert [(run["workflow"], run["number"]) for run in runs["data"]] == [("w1", 2), ("w3", 1)]
        assert runs["pagination"] == {"page": 1, "page_size": 2, "total": 3, "pages": 2}
        assert [run["workflow"] for run in daemon.get("/api/runs?status=failed")] == ["w3"]
        assert len(daemon.get("/api/runs?workflow=w1&status=completed")) == 2


def test_workers_in_pages_and_by_status(daemon: Daemon) -> None:
    workers = [{"name": f"n{number}", "command": "sh -c 'exit 1'" if number % 2 else "true"} for number in range(6)]
    watched = Watched(daemon, "paged", *workers)
    run = watched.start()
    watched.end()
    for path in (watched.path("workers"), path_of("workers", "paged"), f"/api/runs/{run}/workers"):
        for query, expected in (
            ("", ["n0", "n1", "n2", "n3", "n4", "n5"]),
            ("?status=failed", ["n1", "n3", "n5"]),
            ("?status=failed&page=2&page_size=2", ["n5"]),
            ("?status=running", []),
        ):
            assert [worker["name"] for worker in daemon.get(path + query)] == expected, path + query
    described = daemon.ask("GET", watched.path("workers") + "?page=2&page_size=4").envelope["pagination"]
    assert described == {"page": 2, "page_size": 4, "total": 6, "pages": 2}


def test_attempts_newest_first_in_pages(daemon: Daemon) -> None:
    retry = {"limit": 2, "delay_seconds": 0}
    watched = Watched(daemon, "attempts", {"name": "a", "command": "false", "retry": retry})
    runs = [watched.run()["id"] for _ in range(2)]
    answer = daemon.ask("GET", watched.of("a", "attempts") + "?page=2&page_size=4").envelope
    assert [(each["run_id"], each["number"]) for each in answer["data"]] == [(runs[0], 2), (runs[0], 1)]
    assert answer["pagination"] == {"page": 2, "page_size": 4, "total": 6, "pages": 2}


async def test_the_graph_in_three_forms(daemon: Daemon) -> None:
    watched = Watched(daemon, "diamond", *DIAMOND)
    graph = daemon.get(watched.path("graph"))
    assert graph == {
        "nodes": [
            {"name": "top", "status": "created", "level": 0},
            {"name": "left", "status": "created", "level": 1},
            {"name": "right", "status": "created", "level": 1},
            {"name": "bottom", "status": "created", "level": 2},
        ],
        "edges": [
            {"from": "top", "to": "left", "label": "o"},
            {"from": "top", "to": "right", "label": "o.txt"},
            {"from": "left", "to": "bottom", "label": None},
            {"from": "right", "to": "bottom", "label": None},
        ],
        "levels": [["top"], ["left", "right"], ["bottom"]],
    }
    watched.run()
    assert {node["status"] for node in daemon.get(watched.path("graph"))["nodes"]} == {"completed"}
    for form, fragments in (
        ("mermaid", ("flowchart LR\n", '["top"]', '-->|"o"|')),
        ("dot", ("digraph workflow {\n", '"top" -> "left" [label="o"];')),
    ):
        answer = await ask(daemon, "GET", watched.path("graph") + f"?format={form}")
        assert answer.header("Content-Type") == "text/plain; charset=utf-8"
        for fragment in fragments:
            assert fragment in answer.body.decode()


async def test_validate_says_the_order_and_stores_nothing(daemon: Daemon) -> None:
    document = {"name": "checked", "workers": list(reversed(DIAMOND))}
    assert daemon.post("/api/workflows/validate", document) == {
        "valid": True,
        "name": "checked",
        "order": ["top", "right", "left", "bottom"],
        "levels": [["top"], ["right", "left"], ["bottom"]],
    }
    assert daemon.ask("GET", "/api/workflows/checked").status == 404


async def test_a_definition_goes_around_in_json_and_yaml(daemon: Daemon) -> None:
    given = {
        "name": "around",
        "working_dir": str(daemon.directory / "around"),
        "fail_fast": True,
        "workers": [
            {
                "name": "数据",
                "workflow_name": "around",
                "command": "printf '%s' \"$X\" | cat",
                "args": ["yes", "1e3", "0o17", "~", "null", " a: b # c", "\t\n"],
                "env_vars": {"X": "1:30", "EMPTY": ""},
                "inputs": None,
                "outputs": {"o": "./o.txt"},
                "retry": 3,
                "timeout_seconds": 1.5,
                "stop_grace_seconds": 0,
                "on_lost": "retry",
            },
            {
                "name": "b",
                "command": "true",
                "retry": {"limit": 1, "exit_codes": [1]},
                "after": ["数据"],
                "shell": False,
            },
        ],
    }
    daemon.post("/api/workflows", given)
    stored = daemon.get("/api/workflows/around/definition")
    assert stored == {**given, "workers": [{**given["workers"][0], "retry": {"limit": 3}}, given["workers"][1]]}  # type: ignore[index]
    by_query = await ask(daemon, "GET", "/api/workflows/around/definition?format=yaml")
    by_header = await ask(daemon, "GET", "/api/workflows/around/definition", headers={"Accept": "application/yaml"})
    assert by_query.body == by_header.body
    assert by_query.header("Content-Type") == "application/yaml; charset=utf-8"
    assert yaml.safe_load(by_query.body) == stored
    kind = {"Content-Type": "application/yaml"}
    assert (await ask(daemon, "PUT", "/api/workflows/around", body=by_query.body, headers=kind)).status == 200
    assert daemon.get("/api/workflows/around/definition") == stored
    assert daemon.ask("PUT", "/api/workflows/around", stored).status == 200
    assert daemon.get("/api/workflows/around/definition") == stored


async def test_a_workflow_in_yaml_runs(daemon: Daemon) -> None:
    text = """
name: by-yaml
workers:
  - &first
    name: first
    command: echo one
    outputs: {o: o.txt}
  - <<: *first
    name: second
    outputs: {p: p.txt}
    after: [first]
"""
    kind = {"Content-Type": "application/yaml; charset=utf-8"}
    created = await ask(daemon, "POST", "/api/workflows", body=text.encode(), headers=kind)
    assert created.json["data"] == "Workflow 'by-yaml' created successfully"
    daemon.start_run("by-yaml")
    assert daemon.wait_for_run("by-yaml")["status"] == "completed"


def test_replacing_a_definition_leaves_the_past_readable(daemon: Daemon) -> None:
    watched = Watched(
        daemon, "replaced", {"name": "old", "command": "echo old"}, {"name": "both", "command": "echo before"}
    )
    first = watched.start()
    watched.end()
    document = {"workers": [{"name": "both", "command": "echo after"}, {"name": "new", "command": "echo new"}]}
    assert daemon.ask("PUT", watched.path(), document).data == "Workflow 'replaced' replaced successfully"
    assert (watched.status, watched.statuses) == ("created", {"both": "created", "new": "created"})
    assert daemon.get(watched.path())["completed_at"] is None
    assert list(daemon.workers_of(first)) == ["old", "both"]
    assert daemon.get(f"/api/runs/{first}")["workers"]["completed"] == 2
    assert watched.attempts("both") == []
    assert watched.run()["number"] == 2
    assert watched.output("both") == ["after"]
    assert [list(daemon.workers_of(run["id"])) for run in daemon.get("/api/runs?workflow=replaced")] == [
        ["both", "new"],
        ["old", "both"],
    ]


def test_a_deleted_name_is_free_and_its_past_is_gone_from_the_lists(daemon: Daemon) -> None:
    watched = Watched(daemon, "reborn", {"name": "a", "command": "true"})
    run = watched.start()
    watched.end()
    assert daemon.ask("DELETE", watched.path()).data == "Workflow 'reborn' deleted successfully"
    assert daemon.ask("GET", watched.path()).code == "WORKFLOW_NOT_FOUND"
    assert "reborn" not in {each["workflow"] for each in daemon.get("/api/runs?page_size=1000")}
    assert daemon.get(f"/api/runs/{run}")["status"] == "completed"
    again = Watched(daemon, "reborn", {"name": "b", "command": "true"})
    assert (again.status, again.run()["number"]) == ("created", 1)


async def test_metrics_of_a_busy_tree(daemon: Daemon) -> None:
    hog = "import os\nx = bytearray(40_000_000)\nwhile not os.path.exists('go'): pass"
    watched = Watched(daemon, "busy", {"name": "w", "command": 'python3 -c "$CODE" & wait', "env_vars": {"CODE": hog}})
    nothing = daemon.get(watched.of("w", "metrics"))["metrics"]
    assert {name: nothing[name] for name in ("cpu_usage", "memory_usage", "runtime", "status", "processes")} == {
        "cpu_usage": "0.0%",
        "memory_usage": "0MB",
        "runtime": "00:00:00",
        "status": "created",
        "processes": 0,
    }
    watched.start()

    def busy() -> Any:
        metrics = daemon.get(watched.of("w", "metrics"))["metrics"]
        return metrics["cpu_percent"] > 10 and metrics["memory_bytes"] > 40_000_000 and metrics

    metrics = await wait_until(busy, on_timeout="the hog is seen", interval_seconds=0.1)
    assert metrics["processes"] >= 2
    assert metrics["runtime_seconds"] > 0
    assert re.fullmatch(r"\d+\.\d%", metrics["cpu_usage"])
    assert re.fullmatch(r"\d+MB", metrics["memory_usage"])
    watched.let_go()
    watched.end()
    recorded = daemon.get(watched.of("w", "metrics"))["metrics"]
    assert (recorded["status"], recorded["exit_code"], recorded["signal"], recorded["processes"]) == (
        "completed",
        0,
        None,
        0,
    )
    assert recorded["cpu_seconds"] > 0.05
    assert recorded["peak_memory_bytes"] >= metrics["memory_bytes"] > 40_000_000
    assert recorded["runtime_seconds"] == watched.attempts("w")[0]["runtime_seconds"]


async def test_what_a_stopped_tree_has_used_is_on_record(daemon: Daemon) -> None:
    """The children of a leader that is killed before it waits for them are in no rusage: the samples know them."""
    watched = Watched(daemon, "used", {"name": "w", "command": "sh -c 'while :; do :; done' & wait"})
    watched.start()

    def has_been_busy() -> bool:
        metrics = daemon.get(watched.of("w", "metrics"))["metrics"]
        return bool(metrics["cpu_percent"] > 10 and metrics["runtime_seconds"] > 0.6)

    await wait_until(has_been_busy, on_timeout="it has been busy for a while", interval_seconds=0.1)
    watched.ask("w", "stop")
    assert watched.attempts("w")[0]["cpu_seconds"] > 0.02


async def test_names_of_any_script(daemon: Daemon) -> None:
    watched = Watched(
        daemon,
        "工作流",
        {"name": "抓取", "command": "echo 数据", "outputs": {"原始": "原始.json"}},
        {"name": "naïve-café.2", "command": "cat 原始.json", "inputs": {"ein_Übel": "抓取/原始"}},
    )
    assert watched.run()["status"] == "completed"
    assert watched.output("naïve-café.2") == ["数据"]
    entity = daemon.get(watched.path("workers"))[1]
    assert (entity["workflow_name"], entity["inputs"]) == ("工作流", '{"ein_Übel": "抓取/原始"}')
    assert daemon.get("/api/runs?workflow=" + quote("工作流"))[0]["workflow"] == "工作流"
    # an accent typed in two characters is the same name
    decomposed = unicodedata.normalize("NFD", "naïve-café.2")
    assert daemon.get(path_of("workers", "工作流", decomposed))["name"] == "naïve-café.2"
    daemon.create(unicodedata.normalize("NFD", "été"), [{"name": "a", "command": "true"}])
    for name in ("été", unicodedata.normalize("NFD", "été")):
        assert daemon.get(path_of("workflows", name))["name"] == "été"
        assert daemon.get("/api/runs?workflow=" + quote(name)) == []


async def test_a_workflow_may_be_called_like_a_route(daemon: Daemon) -> None:
    watched = Watched(daemon, "validate", {"name": "start", "command": "true"}, {"name": "logs", "command": HELD})
    watched.start()
    await watched.is_now("start", "completed")
    assert watched.status == "running"
    assert daemon.get(watched.of("logs"))["status"] == "running"
    watched.let_go()
    assert watched.end()["status"] == "completed"
    assert daemon.ask("DELETE", watched.path()).status == 200


async def test_health(daemon: Daemon) -> None:
    watched = Watched(daemon, "healthy", *({"name": f"w{number}", "command": HELD} for number in range(104)))
    watched.start()
    path = "/api/health"
    health = await wait_until(
        lambda: (health := daemon.get(path))["workers"]["running"] == 4 and health, on_timeout="all slots are taken"
    )
    assert health["workers"] == {"running": 4, "queued": 100}
    assert health.keys() == {
        *("status", "reasons", "version", "uptime_seconds", "pid", "state_dir", "runs", "workers", "slots"),
        *("launcher", "disk", "auth"),
    }
    assert (health["status"], health["reasons"], health["auth"], health["slots"]) == ("ok", [], "none", 4)
    assert (health["pid"], health["state_dir"], health["runs"]) == (daemon.pid, str(daemon.state_dir), {"running": 1})
    assert health["launcher"].keys() == {"pid", "generation", "protocol"}
    assert is_alive(health["launcher"]["pid"])
    assert health["disk"]["low"] is False
    watched.let_go()
    watched.end()
    health = daemon.get(path)
    assert (health["runs"], health["workers"]) == ({"running": 0}, {"running": 0, "queued": 0})
