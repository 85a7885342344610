"""The plan, one event at a time: these effects and nothing else."""

import pytest

from scheduler.engine.effects import End, Finish, Launch, Stop, StopRun, Wake
from scheduler.engine.plan import Stage
from tests.unit.scheduler.engine.planning import (
    CODE_7,
    FAILED,
    LOST,
    NEVER_STARTED,
    OK,
    WITH_LAUNCHER,
    plan_of,
    run_to,
)

A, B, C, D = range(4)
BY_REQUEST = "stopped by request"


def cancelled_by(worker: int, upstream: str, how: str = "failed") -> End:
    message = f"upstream '{upstream}' {how}"
    return End(worker, "cancelled", message, message)


# -- the way of a run that goes well ---------------------------------------------------------------


def test_start_launches_what_waits_for_nothing() -> None:
    assert plan_of(a=(), b=("a",), c=()).start() == [Launch(A), Launch(C)]


def test_each_worker_starts_when_its_own_upstreams_have_completed() -> None:
    plan = plan_of(a=(), b=(), c=("a",), d=("a", "b"))
    plan.start()
    assert run_to(plan, A) == [End(A, "completed"), Launch(C)]  # no barrier: c does not wait for b
    assert run_to(plan, C) == [End(C, "completed")]
    assert run_to(plan, B) == [End(B, "completed"), Launch(D)]
    assert run_to(plan, D) == [End(D, "completed"), Finish("completed")]
    assert plan.is_finished


def test_attempts_are_numbered_from_one() -> None:
    plan = plan_of(a={"retry": 1})
    plan.start()
    assert plan.on_launched(A) == 1
    plan.on_exited(A, FAILED)
    plan.on_timer(A)
    assert plan.on_launched(A) == 2


def test_stages_are_told() -> None:
    plan = plan_of(a=(), b=("a",))
    plan.start()
    assert (plan.may_launch(A), plan.is_live(A), plan.is_open(A)) == (True, False, True)
    assert not plan.may_launch(B)
    plan.on_launched(A)
    assert (plan.may_launch(A), plan.is_live(A)) == (False, True)
    plan.on_started(A)
    assert plan.counts() == {Stage.RUNNING: 1, Stage.WAITING: 1}
    plan.on_exited(A, OK)
    assert (plan.is_live(A), plan.is_open(A), plan.is_open(B)) == (False, False, True)


def test_only_members_take_part_and_what_they_wait_for_outside_is_taken_as_done() -> None:
    plan = plan_of(a=(), b=("a",), c=("b",), members=(B,))
    assert plan.start() == [Launch(B)]
    assert not plan.is_open(A)
    assert plan.stop_worker(C, BY_REQUEST) == []
    assert run_to(plan, B) == [End(B, "completed"), Finish("completed")]


def test_a_member_that_fails_cancels_nobody_outside() -> None:
    plan = plan_of(a=(), b=("a",), members=(A,))
    plan.start()
    assert run_to(plan, A, FAILED) == [
        End(A, "failed", "exited with code 1", "exited with code 1"),
        Finish("failed", "1 of 1 workers failed"),
    ]


# -- failures --------------------------------------------------------------------------------------


def test_a_failure_cancels_what_waits_for_it_and_other_branches_go_on() -> None:
    plan = plan_of(a=(), b=("a",), c=("b",), d=())
    plan.start()
    assert run_to(plan, A, FAILED) == [
        End(A, "failed", "exited with code 1", "exited with code 1"),
        cancelled_by(B, "a"),
        cancelled_by(C, "b", "cancelled"),
    ]
    assert run_to(plan, D) == [End(D, "completed"), Finish("failed", "1 of 4 workers failed")]


def test_who_waits_for_the_failed_one_directly_is_told_its_name() -> None:
    plan = plan_of(a=(), b=("a",), c=("a", "b"))
    plan.start()
    assert run_to(plan, A, FAILED)[1:3] == [cancelled_by(B, "a"), cancelled_by(C, "a")]


def test_a_failure_downstream_of_two_is_cancelled_once() -> None:
    plan = plan_of(a=(), b=(), c=("a", "b"))
    plan.start()
    assert run_to(plan, A, FAILED)[1:] == [cancelled_by(C, "a")]
    assert run_to(plan, B, FAILED) == [
        End(B, "failed", "exited with code 1", "exited with code 1"),
        Finish("failed", "2 of 3 workers failed"),
    ]


def test_a_refused_launch_is_a_failure() -> None:
    plan = plan_of(a={"retry": 3}, b=("a",))
    plan.start()
    assert plan.on_refused(A, "input 'x' does not exist") == [
        End(A, "failed", "input 'x' does not exist", "input 'x' does not exist"),
        cancelled_by(B, "a"),
        Finish("failed", "1 of 2 workers failed"),
    ]
    assert plan.on_refused(A, "again") == []


def test_fail_fast_stops_what_runs_and_cancels_what_has_not_begun() -> None:
    plan = plan_of(a=(), b=(), c=("b",), d=(), fail_fast=True)
    plan.start()
    plan.on_launched(B)
    reason = "worker 'a' failed and fail_fast is set"
    assert run_to(plan, A, FAILED) == [
        End(A, "failed", "exited with code 1", "exited with code 1"),
        StopRun(reason),
        Stop(B, "fail_fast", reason),
        End(C, "cancelled", reason),
        End(D, "cancelled", reason),
    ]
    assert plan.is_stopping
    assert plan.on_exited(B, FAILED) == [End(B, "cancelled", reason), Finish("failed", reason)]


def test_fail_fast_with_nothing_else_under_way_finishes_once() -> None:
    plan = plan_of(a=(), b=("a",), fail_fast=True)
    plan.start()
    assert run_to(plan, A, FAILED)[1:] == [cancelled_by(B, "a"), Finish("failed", "1 of 2 workers failed")]


@pytest.mark.parametrize(
    ("of_workflow", "of_worker", "stops"),
    [(False, None, False), (True, None, True), (True, False, False), (False, True, True)],
)
def test_a_worker_may_say_otherwise_than_its_workflow(of_workflow: bool, of_worker: bool | None, stops: bool) -> None:
    plan = plan_of(a={"fail_fast": of_worker}, b=(), fail_fast=of_workflow)
    plan.start()
    run_to(plan, A, FAILED)
    assert plan.is_stopping == stops
    assert plan.is_open(B) == (not stops)


# -- another attempt -------------------------------------------------------------------------------


def test_a_failure_is_tried_again_after_a_pause_and_then_given_up() -> None:
    plan = plan_of(a={"retry": {"limit": 1, "delay_seconds": 3}}, b=("a",))
    plan.start()
    assert run_to(plan, A, FAILED) == [Wake(A, 3.0, "exited with code 1; attempt 2 of 2 in 3 s")]
    assert plan.on_timer(A) == [Launch(A)]
    assert plan.on_timer(A) == []
    reason = "exited with code 1; gave up after 2 attempts"
    assert run_to(plan, A, FAILED) == [
        End(A, "failed", reason, reason),
        cancelled_by(B, "a"),
        Finish("failed", "1 of 2 workers failed"),
    ]


def test_only_the_named_exit_codes_are_tried_again() -> None:
    plan = plan_of(a={"retry": {"limit": 5, "exit_codes": [7]}})
    plan.start()
    assert isinstance(run_to(plan, A, CODE_7)[0], Wake)
    plan.on_timer(A)
    assert isinstance(run_to(plan, A, FAILED)[0], End)


def test_a_lost_attempt_has_failed_unless_its_author_says_that_it_may_run_twice() -> None:
    plan = plan_of(a={"retry": 3}, b={"on_lost": "retry"})
    plan.start()
    assert run_to(plan, A, LOST)[0] == End(A, "failed", LOST.reason, LOST.reason)
    assert run_to(plan, B, LOST) == [
        Wake(B, 1.0, "lost: the host restarted; launched again in 1 s because on_lost is 'retry'")
    ]


def test_what_went_down_with_the_launcher_was_stopped_and_has_not_failed() -> None:
    plan = plan_of(a={"retry": 3})
    plan.start()
    assert run_to(plan, A, WITH_LAUNCHER) == [
        End(A, "cancelled", "stopped together with the launcher"),
        Finish("cancelled", "a worker was stopped"),
    ]


# -- stops -----------------------------------------------------------------------------------------


def test_a_stop_cancels_what_has_not_begun_and_stops_what_runs() -> None:
    plan = plan_of(a=(), b={"retry": 1}, c=(), d=("a",))
    plan.start()
    plan.on_launched(A)
    run_to(plan, B, FAILED)
    assert plan.stop(BY_REQUEST) == [
        StopRun(BY_REQUEST),
        Stop(A, "stop", BY_REQUEST),
        End(B, "cancelled", BY_REQUEST),
        End(C, "cancelled", BY_REQUEST),
        End(D, "cancelled", BY_REQUEST),
    ]
    assert plan.on_timer(B) == []
    assert plan.stop("again") == []
    assert plan.on_exited(A, NEVER_STARTED) == [End(A, "cancelled", BY_REQUEST), Finish("cancelled", BY_REQUEST)]


def test_a_stop_of_a_finished_run_says_nothing() -> None:
    plan = plan_of(a=())
    plan.start()
    run_to(plan, A)
    assert plan.stop(BY_REQUEST) == []


def test_a_stop_with_nothing_alive_finishes_at_once() -> None:
    plan = plan_of(a=(), b=("a",))
    plan.start()
    assert plan.stop(BY_REQUEST)[-1] == Finish("cancelled", BY_REQUEST)


def test_a_stopped_attempt_is_cancelled_whatever_its_end_was_and_not_tried_again() -> None:
    plan = plan_of(a={"retry": 3}, b=())
    plan.start()
    for worker, outcome in ((A, CODE_7), (B, OK)):
        plan.on_launched(worker)
        assert plan.stop_worker(worker, BY_REQUEST) == [Stop(worker, "stop", BY_REQUEST)]
        assert plan.stop_worker(worker, "again") == []
        assert plan.on_exited(worker, outcome)[0] == End(worker, "cancelled", BY_REQUEST)


def test_a_stop_of_one_worker_cancels_what_waits_for_it_when_it_has_ended() -> None:
    plan = plan_of(a=(), b=("a",), c=())
    plan.start()
    plan.on_launched(A)
    plan.stop_worker(A, BY_REQUEST)
    assert plan.on_exited(A, OK) == [End(A, "cancelled", BY_REQUEST), cancelled_by(B, "a", "cancelled")]
    assert run_to(plan, C) == [End(C, "completed"), Finish("cancelled", "a worker was stopped")]


def test_a_worker_that_has_not_begun_is_cancelled_at_once() -> None:
    plan = plan_of(a=(), b=("a",), c=("b",))
    plan.start()
    assert plan.stop_worker(B, BY_REQUEST) == [End(B, "cancelled", BY_REQUEST), cancelled_by(C, "b", "cancelled")]
    assert plan.stop_worker(B, BY_REQUEST) == []
    assert plan.stop_worker(A, BY_REQUEST) == [
        End(A, "cancelled", BY_REQUEST),
        Finish("cancelled", "a worker was stopped"),
    ]


def test_a_failure_outweighs_a_stop() -> None:
    plan = plan_of(a=(), b=())
    plan.start()
    run_to(plan, A, FAILED)
    plan.stop_worker(B, BY_REQUEST)
    assert plan.is_finished
    plan = plan_of(a=(), b=())
    plan.start()
    plan.stop_worker(B, BY_REQUEST)
    assert run_to(plan, A, FAILED)[-1] == Finish("failed", "1 of 2 workers failed")


# -- restarts --------------------------------------------------------------------------------------


def test_a_restart_ends_the_attempt_and_launches_another_while_the_rest_goes_on_waiting() -> None:
    plan = plan_of(a=(), b=("a",))
    plan.start()
    plan.on_launched(A)
    assert plan.restart_worker(A) == [Stop(A, "restart", "restarted by request")]
    assert plan.restart_worker(A) == []
    assert plan.on_exited(A, CODE_7) == [Wake(A, 0.0, "restarted by request", restarted=True)]
    assert plan.on_timer(A) == [Launch(A)]
    assert run_to(plan, A) == [End(A, "completed"), Launch(B)]


def test_a_restart_cuts_a_pause_short() -> None:
    plan = plan_of(a={"retry": {"limit": 1, "delay_seconds": 1000}})
    plan.start()
    run_to(plan, A, FAILED)
    assert plan.is_resting(A)
    assert plan.restart_worker(A) == [Wake(A, 0.0, "restarted by request", restarted=True)]
    assert plan.on_timer(A) == [Launch(A)]
    assert not plan.is_resting(A)
    assert plan.on_timer(A) == []


def test_only_what_is_under_way_is_restarted() -> None:
    plan = plan_of(a=(), b=("a",))
    plan.start()
    assert plan.restart_worker(A) == []
    assert plan.restart_worker(B) == []


@pytest.mark.parametrize("whole_run", [True, False])
def test_a_stop_wins_over_a_restart_that_is_under_way(whole_run: bool) -> None:
    plan = plan_of(a=(), b=("a",))
    plan.start()
    plan.on_launched(A)
    plan.restart_worker(A)
    stop = plan.stop(BY_REQUEST) if whole_run else plan.stop_worker(A, BY_REQUEST)
    assert Stop(A, "stop", BY_REQUEST) in stop
    assert plan.on_exited(A, CODE_7)[0] == End(A, "cancelled", BY_REQUEST)
    assert plan.is_finished


def test_a_failure_elsewhere_wins_over_a_restart_where_fail_fast_is_set() -> None:
    plan = plan_of(a=(), b=(), fail_fast=True)
    plan.start()
    plan.on_launched(A)
    plan.restart_worker(A)
    run_to(plan, B, FAILED)
    assert plan.on_exited(A, CODE_7)[-1] == Finish("failed", "worker 'b' failed and fail_fast is set")


@pytest.mark.parametrize("whole_run", [True, False])
def test_what_is_being_stopped_is_not_restarted(whole_run: bool) -> None:
    plan = plan_of(a=())
    plan.start()
    plan.on_launched(A)
    _ = plan.stop(BY_REQUEST) if whole_run else plan.stop_worker(A, BY_REQUEST)
    assert plan.restart_worker(A) == []
    assert plan.on_exited(A, CODE_7)[-1] == Finish("cancelled", BY_REQUEST if whole_run else "a worker was stopped")


# -- what comes late or twice ----------------------------------------------------------------------


def test_news_of_attempts_that_are_over_change_nothing() -> None:
    plan = plan_of(a=(), b=("a",))
    plan.start()
    run_to(plan, A)
    assert plan.on_exited(A, FAILED) == []
    assert plan.on_started(A) == []
    assert plan.on_timer(A) == []
    assert plan.stages == [Stage.ENDED, Stage.READY]


# -- after a restart of the daemon -----------------------------------------------------------------


def test_resume_goes_on_where_the_record_ends() -> None:
    plan = plan_of(a=(), b=("a",), c=(), d=("c",))
    plan.adopt(C)
    assert plan.resume({A: "completed"}, {A: 1, C: 2}, {}) == [Launch(B)]
    assert plan.on_exited(C, OK) == [End(C, "completed"), Launch(D)]
    assert plan.attempts == [1, 0, 2, 0]


def test_resume_goes_on_with_pauses() -> None:
    plan = plan_of(a={"retry": 2})
    assert plan.resume({}, {A: 1}, {A: 4.5}) == [Wake(A, 4.5, "waiting to be launched again")]
    assert plan.on_timer(A) == [Launch(A)]
    assert plan.on_launched(A) == 2


def test_resume_draws_the_conclusions_that_are_not_on_record() -> None:
    plan = plan_of(a=(), b=("a",), c=("b",))
    assert plan.resume({A: "failed"}, {A: 1}, {}) == [
        cancelled_by(B, "a"),
        cancelled_by(C, "b", "cancelled"),
        Finish("failed", "1 of 3 workers failed"),
    ]
