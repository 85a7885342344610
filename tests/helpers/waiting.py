"""Waiting in tests: ask until it is true or a deadline passes, and say what was awaited."""

import asyncio
import inspect
import time
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar, overload

T = TypeVar("T")


@overload
async def wait_until(
    predicate: Callable[[], Awaitable[T]],
    *,
    on_timeout: str,
    timeout_seconds: float = ...,
    interval_seconds: float = ...,
) -> T: ...
@overload
async def wait_until(
    predicate: Callable[[], T],
    *,
    on_timeout: str,
    timeout_seconds: float = ...,
    interval_seconds: float = ...,
) -> T: ...
async def wait_until(
    predicate: Callable[[], Any],
    *,
    on_timeout: str,
    timeout_seconds: float = 10.0,
    interval_seconds: float = 0.005,
) -> Any:
    """The first truthy answer of `predicate`, a plain or a coroutine function.

    Raises AssertionError with `on_timeout` and the last answer when `timeout_seconds` have passed.
    """
    deadline = time.monotonic() + timeout_seconds
    while True:
        answer = predicate()
        if inspect.isawaitable(answer):
            answer = await answer
        if answer:
            return answer
        if time.monotonic() > deadline:
            raise AssertionError(f"{timeout_seconds:g} s passed: {on_timeout} (last answer: {answer!r})")
        await asyncio.sleep(interval_seconds)
