"""The DAG: who waits for whom, in which order, and what is said of what does not resolve."""

import itertools
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from schemas.errors import CircularDependency, DependencyValidationFailed, ValidationFailed
from schemas.graph import Edge, Graph, build_graph, to_dot, to_mermaid
from schemas.workflow import Worker, Workflow


def flow(**workers: dict[str, Any]) -> Workflow:
    """A workflow of workers by name, each `true` with these fields."""
    listed = [Worker(**{"name": name, "command": "true", **fields}) for name, fields in workers.items()]
    return Workflow(name="flow", workers=listed)


def graph(**workers: dict[str, Any]) -> Graph:
    return build_graph(flow(**workers), "/default")


def edges(found: Graph) -> list[tuple[str, str, str | None]]:
    return [(found.names[edge.upstream], found.names[edge.downstream], edge.label) for edge in found.edges]


def unresolved(**workers: dict[str, Any]) -> list[tuple[str, str]]:
    with pytest.raises(DependencyValidationFailed) as caught:
        graph(**workers)
    assert isinstance(caught.value.details, list)
    return [(detail["path"], detail["message"]) for detail in caught.value.details]


def test_inputs_paths_and_after_make_edges() -> None:
    found = graph(
        a={"outputs": {"raw": "raw.json", "meta": "/tmp/meta.json"}},
        b={"inputs": {"x": "a/raw"}},
        c={"inputs": {"x": "./sub/../raw.json"}},
        d={"inputs": {"x": "/tmp//meta.json", "y": "elsewhere.txt"}},
        e={"after": ["b"]},
    )
    assert edges(found) == [
        ("a", "b", "raw"),
        ("a", "c", "./sub/../raw.json"),
        ("a", "d", "/tmp//meta.json"),
        ("b", "e", None),
    ]
    assert found == Graph(
        names=("a", "b", "c", "d", "e"),
        upstream=((), (0,), (0,), (0,), (1,)),
        downstream=((1, 2, 3), (4,), (), (), ()),
        edges=(Edge(0, 1, "raw"), Edge(0, 2, "./sub/../raw.json"), Edge(0, 3, "/tmp//meta.json"), Edge(1, 4, None)),
        levels=((0,), (1, 2, 3), (4,)),
        order=(0, 1, 2, 3, 4),
    )


def test_paths_are_seen_from_the_directory_of_each_worker() -> None:
    workflow = flow(
        a={"outputs": {"x": "x.txt"}, "working_dir": "one"},
        b={"inputs": {"x": "../one/x.txt"}, "working_dir": "/flow/two"},
        c={"inputs": {"x": "x.txt"}},
        d={"inputs": {"x": "/default/one/x.txt"}},
    )
    moved = workflow.model_copy(update={"working_dir": "/flow"})
    assert edges(build_graph(moved, "/default")) == [("a", "b", "../one/x.txt")]
    assert edges(build_graph(workflow, "/default")) == [("a", "d", "/default/one/x.txt")]


def test_several_ways_to_one_worker_are_one_edge_with_the_first_label() -> None:
    found = graph(
        a={"outputs": {"x": "x", "y": "y"}}, b={"inputs": {"p": "a/y", "q": "a/x", "r": "./x"}, "after": ["a", "a"]}
    )
    assert edges(found) == [("a", "b", "y")]
    assert edges(graph(a={}, b={"after": ["a", "a"]})) == [("a", "b", None)]


def test_a_worker_may_rewrite_a_file_of_its_own() -> None:
    assert edges(graph(a={"inputs": {"old": "./state"}, "outputs": {"new": "state"}})) == []


def test_order_is_that_of_the_definition_as_far_as_the_edges_allow() -> None:
    found = graph(c={"after": ["a"]}, b={}, a={}, d={})
    assert [found.names[index] for index in found.order] == ["b", "a", "c", "d"]


def test_a_level_is_the_longest_way_there() -> None:
    found = graph(a={}, b={"after": ["a"]}, c={"after": ["b", "a"]}, d={"after": ["a"]})
    assert [[found.names[index] for index in level] for level in found.levels] == [["a"], ["b", "d"], ["c"]]


def test_an_output_that_does_not_exist_is_told_with_the_nearest() -> None:
    with pytest.raises(DependencyValidationFailed) as caught:
        graph(fetcher={"outputs": {"outptu": "x", "other": "y"}}, processor={"inputs": {"data": "fetcher/output"}})
    error = caught.value
    assert (error.worker, error.dependency) == ("processor", "fetcher/output")
    assert "worker 'processor' depends on 'fetcher/output' but that output does not exist" in str(error)
    assert "worker 'processor' 依赖 'fetcher/output' 但该输出不存在" in error.message("zh")
    assert error.details == [
        {
            "path": "workers[1].inputs.data",
            "message": "worker 'processor' depends on 'fetcher/output' but that output does not exist;"
            " did you mean 'fetcher/outptu'? If a file is meant, write './fetcher/output'",
        }
    ]


@pytest.mark.parametrize(
    ("value", "said"),
    [
        ("fetchr/raw", "; did you mean 'fetch/raw'?"),
        ("fetchr/rew", "; did you mean 'fetch/raw'?"),
        ("fetch/zzz", ": 'fetch' declares only 'raw', 'meta'."),
        ("single/zzz", "; did you mean 'single/only'?"),
        ("bare/raw", ": 'bare' declares no outputs."),
        ("data/in.csv", ": there is no worker 'data'."),
    ],
)
def test_what_was_meant_by_a_reference(value: str, said: str) -> None:
    ((path, message),) = unresolved(
        fetch={"outputs": {"raw": "raw", "meta": "meta"}},
        single={"outputs": {"only": "only"}},
        bare={},
        reader={"inputs": {"x": value}},
    )
    assert path == "workers[3].inputs.x"
    assert message.endswith(f"but that output does not exist{said} If a file is meant, write './{value}'")


def test_many_outputs_are_not_all_listed() -> None:
    ((_, message),) = unresolved(
        a={"outputs": {f"part-{number}": f"{number}" for number in range(7)}}, b={"inputs": {"x": "a/zzz"}}
    )
    assert ": 'a' declares only 'part-0', 'part-1', 'part-2', 'part-3', 'part-4' and 2 more." in message


def test_every_reference_that_does_not_resolve_is_told() -> None:
    found = unresolved(
        alpha={"after": ["alhpa", "nobody"]}, b={"inputs": {"x": "no/x", "y": "./no/x"}, "after": ["alpha"]}
    )
    no_output = "worker 'b' depends on 'no/x' but that output does not exist: there is no worker 'no'."
    no_worker = "worker 'alpha' comes after '{}' but there is no such worker"
    assert found == [
        ("workers[0].after[0]", no_worker.format("alhpa") + "; did you mean 'alpha'?"),
        ("workers[0].after[1]", no_worker.format("nobody")),
        ("workers[1].inputs.x", no_output + " If a file is meant, write './no/x'"),
    ]


def test_the_message_names_the_first_that_does_not_resolve() -> None:
    with pytest.raises(DependencyValidationFailed) as caught:
        graph(a={"inputs": {"x": "no/x"}}, b={"after": ["nobody"]})
    assert (caught.value.worker, caught.value.dependency) == ("a", "no/x")


def test_two_workers_cannot_write_the_same_file_and_that_hides_nothing_else() -> None:
    with pytest.raises(ValidationFailed) as caught:
        graph(
            a={"outputs": {"x": "/default/out.txt"}},
            b={"outputs": {"y": "./sub/../out.txt"}, "after": ["nobody"]},
            c={"outputs": {"y": "c.txt", "z": "c.txt"}},
        )
    taken = "already; each output needs a file of its own"
    assert caught.value.details == [
        {"path": "workers[1].outputs.y", "message": f"'/default/out.txt' is the output 'x' of 'a' {taken}"},
        {"path": "workers[2].outputs.z", "message": f"'/default/c.txt' is the output 'y' of 'c' {taken}"},
        {"path": "workers[1].after[0]", "message": "worker 'b' comes after 'nobody' but there is no such worker"},
    ]


def test_an_output_cannot_take_the_place_of_a_log_directory() -> None:
    with pytest.raises(ValidationFailed) as caught:
        graph(report={}, writer={"outputs": {"text": "report"}})
    assert caught.value.details == [
        {
            "path": "workers[1].outputs.text",
            "message": "'/default/report' is the directory of the logs of worker 'report';"
            " name the file otherwise, such as 'text.out'",
        }
    ]
    assert edges(graph(report={"outputs": {"text": "report/text"}})) == []


@pytest.mark.parametrize(
    ("workers", "cycle"),
    [
        ({"a": {"after": ["a"]}}, ["a", "a"]),
        ({"a": {"inputs": {"x": "a/x"}, "outputs": {"x": "x"}}}, ["a", "a"]),
        ({"a": {"after": ["b"]}, "b": {"after": ["a"]}}, ["a", "b", "a"]),
        ({"a": {"after": ["c"]}, "b": {"after": ["a"]}, "c": {"after": ["b"]}}, ["a", "b", "c", "a"]),
        (
            # what stands before and behind a cycle is not part of it
            {"z": {}, "y": {"after": ["q"]}, "p": {"after": ["q", "z"]}, "q": {"after": ["p"]}, "r": {"after": ["q"]}},
            ["p", "q", "p"],
        ),
    ],
)
def test_a_cycle_is_named(workers: dict[str, Any], cycle: list[str]) -> None:
    with pytest.raises(CircularDependency) as caught:
        graph(**workers)
    assert caught.value.details == {"cycle": cycle}


def test_too_many_dependencies_are_refused() -> None:
    first = [Worker(name=f"u{number}", command="true") for number in range(1001)]
    names = [worker.name for worker in first]
    rest = [Worker(name=f"d{number}", command="true", after=names) for number in range(1000)]
    with pytest.raises(ValidationFailed) as caught:
        build_graph(Workflow(name="flow", workers=[*first, *rest]), "/w")
    assert caught.value.details == [
        {"path": "workers", "message": "have 1,001,000 dependencies; a workflow has at most 1,000,000"}
    ]


def test_a_chain_may_be_very_deep_and_a_cycle_very_long() -> None:
    chain = [Worker(name="w0", command="true")]
    chain += [Worker(name=f"w{number}", command="true", after=[f"w{number - 1}"]) for number in range(1, 20_000)]
    found = build_graph(Workflow(name="flow", workers=chain[::-1]), "/w")
    assert len(found.levels) == 20_000
    assert found.order == tuple(range(19_999, -1, -1))
    chain[0] = Worker(name="w0", command="true", after=["w19999"])
    with pytest.raises(CircularDependency) as caught:
        build_graph(Workflow(name="flow", workers=chain), "/w")
    assert isinstance(caught.value.details, dict)
    assert len(caught.value.details["cycle"]) == 20_001


@st.composite
def upstreams(draw: st.DrawFn) -> list[list[int]]:
    """For each of some workers whom it comes after; there may be cycles."""
    count = draw(st.integers(1, 8))
    return [draw(st.lists(st.integers(0, count - 1), max_size=3, unique=True)) for _ in range(count)]


def assert_is_a_cycle(details: object, after: list[list[int]]) -> None:
    assert isinstance(details, dict)
    cycle = [int(name[1:]) for name in details["cycle"]]
    assert cycle[0] == cycle[-1] == min(cycle)
    assert len(set(cycle)) == len(cycle) - 1
    assert all(up in after[down] for up, down in itertools.pairwise(cycle))


@given(upstreams())
@settings(deadline=None, max_examples=300)
def test_any_graph_is_ordered_or_has_the_cycle_that_is_named(after: list[list[int]]) -> None:
    workers = [
        Worker(name=f"w{index}", command="true", after=[f"w{other}" for other in others])
        for index, others in enumerate(after)
    ]
    workflow = Workflow(name="flow", workers=workers)
    try:
        found = build_graph(workflow, "/w")
    except CircularDependency as error:
        assert_is_a_cycle(error.details, after)
        return
    place = {index: at for at, index in enumerate(found.order)}
    level = {index: depth for depth, each in enumerate(found.levels) for index in each}
    assert sorted(found.order) == sorted(level) == list(range(len(after)))
    assert all(found.upstream[index] == tuple(sorted(others)) for index, others in enumerate(after))
    assert {(edge.upstream, edge.downstream) for edge in found.edges} == {
        (up, down) for up, each in enumerate(found.downstream) for down in each
    }
    for down, others in enumerate(after):
        assert all(place[up] < place[down] for up in others)
        assert level[down] == max((level[up] + 1 for up in others), default=0)


def test_a_graph_is_drawn_in_mermaid_and_dot() -> None:
    found = graph(
        fetch={"outputs": {"raw": 'a"|b\\.json'}},
        数据={"inputs": {"x": "fetch/raw"}},
        last={"inputs": {"x": './a"|b\\.json'}, "after": ["数据"]},
    )
    assert to_mermaid(found).splitlines() == [
        "flowchart LR",
        '    n0["fetch"]',
        '    n1["数据"]',
        '    n2["last"]',
        '    n0 -->|"raw"| n1',
        '    n0 -->|"./a#34;#124;b#92;.json"| n2',
        "    n1 --> n2",
    ]
    assert to_dot(found).splitlines() == [
        "digraph workflow {",
        "    rankdir=LR;",
        "    node [shape=box];",
        '    "fetch";',
        '    "数据";',
        '    "last";',
        '    "fetch" -> "数据" [label="raw"];',
        '    "fetch" -> "last" [label="./a\\"|b\\\\.json"];',
        '    "数据" -> "last";',
        "}",
    ]
