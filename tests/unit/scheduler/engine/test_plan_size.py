"""Plans of thousands: each worker is looked at once, nothing recurses, and no time is measured to know it."""

import pytest

from scheduler.engine.effects import End, Finish, Launch, StopRun
from scheduler.engine.plan import Plan
from scheduler.engine.policy import Outcome
from schemas.graph import build_graph
from tests.unit.scheduler.engine.planning import FAILED, OK, counted, run_to, workflow_from


def test_ten_thousand_wide_costs_one_look_at_each() -> None:
    size = 10_000
    wide: dict[str, list[str]] = {f"w{index}": [] for index in range(size)}
    workflow = workflow_from({**wide, "last": list(wide)})
    graph, looks = counted(build_graph(workflow, "/w"))
    plan = Plan(graph, workflow.workers, fail_fast=False)
    effects = plan.start()
    assert effects == [Launch(index) for index in range(size)]
    looks[0] = 0
    for index in range(size):
        effects += run_to(plan, index)
    effects += run_to(plan, size)
    assert len(effects) == 2 * (size + 1) + 1
    assert looks[0] == size + 1


@pytest.mark.parametrize("outcome", [OK, FAILED])
def test_a_chain_of_two_thousand_needs_no_stack(outcome: Outcome) -> None:
    size = 2_000
    workflow = workflow_from({f"w{index}": [f"w{index - 1}"] if index else [] for index in range(size)})
    graph, looks = counted(build_graph(workflow, "/w"))
    plan = Plan(graph, workflow.workers, fail_fast=False)
    effects, looks[0] = plan.start(), 0
    while isinstance(last := effects[-1], Launch):
        effects += run_to(plan, last.worker, outcome)
    ends = [effect for effect in effects if isinstance(effect, End)]
    assert [end.worker for end in ends] == list(range(size))
    assert isinstance(last, Finish)
    assert looks[0] == size


def test_a_stop_of_ten_thousand_says_each_once() -> None:
    size = 10_000
    workflow = workflow_from({f"w{index}": [] for index in range(size)})
    plan = Plan(build_graph(workflow, "/w"), workflow.workers, fail_fast=False)
    plan.start()
    effects = plan.stop("by request")
    assert effects == [
        StopRun("by request"),
        *(End(index, "cancelled", "by request") for index in range(size)),
        Finish("cancelled", "by request"),
    ]
