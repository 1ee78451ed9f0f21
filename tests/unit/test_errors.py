from __future__ import annotations

from collections.abc import Iterator

import pytest

import spandrel.adapters.secrets
from spandrel.errors import NotFoundError, SpandrelError, problem


def every(kind: type[SpandrelError] = SpandrelError) -> Iterator[type[SpandrelError]]:
    yield kind
    for below in kind.__subclasses__():
        yield from every(below)


ERRORS = list(every())


def test_there_are_errors_to_hold() -> None:
    assert len(ERRORS) > 15
    assert spandrel.adapters.secrets.SecretUnreadableError in ERRORS


def test_codes_are_unique() -> None:
    codes = [error.code for error in ERRORS]
    assert sorted(codes) == sorted(set(codes))


@pytest.mark.parametrize("error", ERRORS, ids=lambda error: error.__name__)
def test_an_error_s_docstring_is_a_message_for_people(error: type[SpandrelError]) -> None:
    assert error.__doc__
    title = error.title()
    assert title.endswith(".")
    assert "\n" not in title
    assert "  " not in title
    assert str(error()) == title
    assert error.code == error.code.lower()
    assert error.status >= 400


@pytest.mark.parametrize("indentation", ["", "    "], ids=["from Python 3.13", "before"])
def test_a_docstring_of_several_lines_is_a_message_of_one(indentation: str) -> None:
    docstring = f"The whale\n{indentation}sings.\n\n{indentation}Raised by whales."
    assert type("WhaleError", (SpandrelError,), {"__doc__": docstring}).title() == "The whale sings."


def test_a_problem_is_rfc_9457() -> None:
    assert problem(NotFoundError("No whale.", collections=["a"]), instance="urn:x") == {
        "type": "urn:spandrel:problem:not_found",
        "title": "There is no such resource, or it is not yours.",
        "status": 404,
        "detail": "No whale.",
        "code": "not_found",
        "instance": "urn:x",
        "collections": ["a"],
    }


def test_without_a_detail_the_title_is_it() -> None:
    body = problem(NotFoundError())
    assert body["detail"] == body["title"]
    assert "instance" not in body
