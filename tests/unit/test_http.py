from __future__ import annotations

import json
import logging
from typing import Any

import msgspec
import pytest

from spandrel import http
from spandrel.errors import (
    DatabaseUnavailableError,
    InvalidJsonError,
    InvalidRequestError,
    NotFoundError,
    UnauthenticatedError,
)
from tests.support.events import http_event


class Asked(msgspec.Struct, forbid_unknown_fields=True):
    query: str
    top_k: int = 10


def test_the_user_is_the_verified_subject() -> None:
    assert http.user_id(http_event("GET", "/", user="ada")) == "ada"


@pytest.mark.parametrize(
    "context",
    [
        {},
        {"authorizer": None},
        {"authorizer": {"lambda": {"sub": "ada"}}},
        {"authorizer": {"jwt": {"claims": {}}}},
        {"authorizer": {"jwt": {"claims": {"sub": ""}}}},
        {"authorizer": {"jwt": {"claims": {"sub": ["ada"]}}}},
        {"authorizer": {"jwt": {"claims": {"sub": "ada\0"}}}},
    ],
)
def test_without_a_verified_subject_there_is_no_user(context: dict[str, object]) -> None:
    with pytest.raises(UnauthenticatedError):
        http.user_id({"requestContext": context, "headers": {"authorization": "Bearer x", "sub": "ada"}})


def test_a_body_becomes_its_type() -> None:
    assert http.body(http_event("POST", "/", body={"query": "x"}), Asked) == Asked("x")


@pytest.mark.parametrize("raw", ["", "{", "{'query': 1}", "\ufeff{}", '{"query": "\\ud800"}'])
def test_a_body_that_is_no_json_is_told(raw: str) -> None:
    with pytest.raises(InvalidJsonError):
        http.body(http_event("POST", "/", raw=raw), Asked)


def test_a_body_nested_deeper_than_can_be_read_is_told() -> None:
    with pytest.raises(InvalidJsonError):
        http.body(http_event("POST", "/", raw="[" * 100_000 + "]" * 100_000), list[Any])


def test_a_body_whose_base64_is_broken_is_told() -> None:
    for raw in ("%%%", "/w=="):
        with pytest.raises(InvalidJsonError):
            http.body(http_event("POST", "/", raw=raw) | {"isBase64Encoded": True}, Asked)


def test_a_body_of_another_shape_names_the_field() -> None:
    with pytest.raises(InvalidRequestError, match=r"\$\.top_k"):
        http.body(http_event("POST", "/", body={"query": "x", "top_k": "y"}), Asked)


def test_an_answer_is_json() -> None:
    response = http.respond(http_event("GET", "/"), lambda: Asked("wörter"))
    assert response["statusCode"] == 200
    assert response["headers"] == {"content-type": "application/json"}
    assert json.loads(response["body"]) == {"query": "wörter", "top_k": 10}


def test_an_error_is_a_problem() -> None:
    def fail() -> None:
        raise NotFoundError

    response = http.respond(http_event("GET", "/"), fail)
    assert (response["statusCode"], response["headers"]["content-type"]) == (404, "application/problem+json")
    assert json.loads(response["body"])["instance"] == "urn:spandrel:request:request-1"


def test_an_event_without_a_request_id_is_answered_too() -> None:
    def fail() -> None:
        raise NotFoundError

    assert "instance" not in json.loads(http.respond({}, fail)["body"])


def test_faults_of_ours_are_logged_with_their_cause(caplog: pytest.LogCaptureFixture) -> None:
    def fail() -> None:
        raise DatabaseUnavailableError from ConnectionError("refused")

    with caplog.at_level(logging.WARNING):
        assert http.respond({}, fail)["statusCode"] == 503
    [record] = caplog.records
    assert (record.__dict__["code"], record.__dict__["cause"]) == (
        "database_unavailable",
        "ConnectionError('refused')",
    )


def test_faults_of_the_caller_are_not(caplog: pytest.LogCaptureFixture) -> None:
    def fail() -> None:
        raise NotFoundError

    with caplog.at_level(logging.WARNING):
        http.respond({}, fail)
    assert caplog.records == []


def test_what_nobody_foresaw_is_logged_and_not_told(caplog: pytest.LogCaptureFixture) -> None:
    def fail() -> None:
        raise ZeroDivisionError("inside")

    response = http.respond({}, fail)
    assert response["statusCode"] == 500
    assert "inside" not in response["body"]
    assert any(record.exc_info for record in caplog.records)
