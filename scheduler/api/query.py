"""Query parameters, read strictly: an unknown name or a wrong value is an error that names it."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, TypeVar

from schemas.errors import InvalidRequest
from schemas.names import nearest
from schemas.run import STATUSES

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from aiohttp import web

T = TypeVar("T")

DEFAULT_PAGE_SIZE: Final = 100
MAX_PAGE_SIZE: Final = 1000


def read_query(request: web.Request, *names: str) -> dict[str, str]:
    """The query as {name: value}; InvalidRequest for names that this route does not know or that are given twice."""
    for name in request.query:
        if name not in names:
            close = nearest(name, names)
            hint = f", did you mean '{close}'?" if close else f"; this route knows {_listed(names)}"
            raise InvalidRequest(reason=f"unknown query parameter '{name}'{hint}")
        if len(request.query.getall(name)) > 1:
            raise InvalidRequest(reason=f"query parameter '{name}' is given more than once")
    return dict(request.query)


def _listed(names: Sequence[str]) -> str:
    return ", ".join(f"'{name}'" for name in names) or "none"


def read_choice(query: dict[str, str], name: str, choices: Collection[str]) -> str | None:
    """One of `choices`, None when it is not given."""
    value = query.get(name)
    if value is not None and value not in choices:
        raise InvalidRequest(reason=f"query parameter '{name}' must be one of {', '.join(choices)}, not '{value}'")
    return value


def read_status(query: dict[str, str]) -> str | None:
    """`?status=`, one of the five."""
    return read_choice(query, "status", STATUSES)


def read_number(query: dict[str, str], name: str, low: int, high: int, *, or_word: str | None = None) -> int | None:
    """A whole number from `low` to `high`, None when it is not given; `or_word` is a word that the caller takes too."""
    value = query.get(name)
    if value is None:
        return None
    if not (value.isascii() and value.isdecimal()) or not low <= int(value[:12]) <= high:
        word = f", or '{or_word}'" if or_word else ""
        raise InvalidRequest(reason=f"query parameter '{name}' must be a whole number from {low} to {high}{word}")
    return int(value)


@dataclass(frozen=True, slots=True)
class Page:
    """Which part of a list is asked for; `number` from 1."""

    number: int
    size: int

    @property
    def offset(self) -> int:
        """How many come before it."""
        return (self.number - 1) * self.size

    def describe(self, total: int) -> dict[str, int]:
        """What stands beside a paged list."""
        pages = math.ceil(total / self.size)
        return {"page": self.number, "page_size": self.size, "total": total, "pages": pages}

    def cut(self, items: Sequence[T]) -> Sequence[T]:
        """This page of a whole list."""
        return items[self.offset : self.offset + self.size]


def read_page(query: dict[str, str], *, always: bool = False) -> Page | None:
    """`?page=&page_size=`; None when neither is given, unless a list is `always` paged."""
    number = read_number(query, "page", 1, 10**9)
    size = read_number(query, "page_size", 1, MAX_PAGE_SIZE)
    if number is None and size is None and not always:
        return None
    return Page(number or 1, size or DEFAULT_PAGE_SIZE)
