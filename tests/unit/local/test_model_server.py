import asyncio
import base64
import json
import math
import struct

import numpy
import pytest

from local import model_embeddings, model_server


@pytest.fixture(scope="module")
def embedder():
    return model_embeddings.Embedder()


def _one(embedder, text, **options):
    return model_embeddings.answer(embedder, {"input": text, "model": "any", **options})["data"][0]["embedding"]


def _dot(left, right):
    return sum(a * b for a, b in zip(left, right, strict=True))


def test_related_texts_are_nearer_than_others(embedder):
    ship, boat, bread = (_one(embedder, text) for text in ("a ship in port", "boats in the harbour", "baking bread"))
    assert len(ship) == 256
    assert _dot(ship, boat) > _dot(ship, bread)


def test_capitals_do_not_matter(embedder):
    assert _one(embedder, "THE HARBOUR") == _one(embedder, "the harbour")


@pytest.mark.parametrize(
    "text", ["the harbour, (boats)!", "the  harbour\nboats", "\u201cthe\u201d harbour\u2014boats_"]
)
def test_punctuation_and_blanks_do_not_matter(embedder, text):
    assert _one(embedder, text) == _one(embedder, "the harbour boats")


def test_a_text_of_punctuation_alone_is_embedded_as_it_is(embedder):
    assert _one(embedder, "+=") != _one(embedder, "")


def test_what_is_said_again_counts_for_less(embedder):
    words = [_one(embedder, word) for word in ("ship", "bread")]
    shares = [
        numpy.linalg.lstsq(numpy.array(words).T, numpy.array(_one(embedder, text)))[0]
        for text in ("ship bread", "ship " * 16 + "bread")
    ]
    (ship, bread), (ships, beside) = shares
    assert ships / beside == pytest.approx(16**0.75 * ship / bread, rel=1e-4)


def test_base64_holds_the_same_floats(embedder):
    packed = base64.b64decode(_one(embedder, "harbour", encoding_format="base64"))
    assert list(struct.unpack("<256f", packed)) == _one(embedder, "harbour")


@pytest.mark.parametrize("text", ["", "   ", "\u4e2d"])
@pytest.mark.parametrize("dimensions", [1, 8, 256])
def test_every_text_has_a_unit_vector(embedder, text, dimensions):
    vector = _one(embedder, text, dimensions=dimensions)
    assert len(vector) == dimensions
    assert math.isclose(_dot(vector, vector), 1, rel_tol=1e-5)


def test_a_list_keeps_its_order_and_counts_tokens(embedder):
    answer = model_embeddings.answer(embedder, {"input": ["harbour", "", "bread"]})
    assert [row["index"] for row in answer["data"]] == [0, 1, 2]
    assert answer["data"][2]["embedding"] == _one(embedder, "bread")
    assert answer["usage"]["total_tokens"] > 0


@pytest.mark.parametrize(
    "body", [{}, {"input": []}, {"input": [1]}, {"input": "x", "dimensions": 257}, {"input": ["x"] * 2049}]
)
def test_what_cannot_be_embedded_is_refused(embedder, body):
    with pytest.raises(model_embeddings.BadRequestError):
        model_embeddings.answer(embedder, body)


def _request(app, method, path, body=b""):
    sent = []

    async def receive():
        return {"type": "http.request", "body": body, "more_body": False}

    async def send(message):
        sent.append(message)

    asyncio.run(app({"type": "http", "method": method, "path": path}, receive, send))
    return sent[0]["status"], json.loads(sent[1]["body"])


def test_the_server_speaks_openais_protocol(embedder):
    app = model_server.App()
    app._embedder = embedder
    models = _request(app, "GET", "/v1/models")[1]["data"]
    assert [model["id"] for model in models] == ["wordllama-256", "spandrel-stand-in"]
    status, answer = _request(app, "POST", "/v1/embeddings", b'{"input": "x"}')
    assert (status, len(answer["data"])) == (200, 1)
    assert _request(app, "POST", "/v1/embeddings", b"{")[0] == 400
    assert _request(app, "GET", "/elsewhere")[0] == 404


def _chat(app, **body):
    sent = []

    async def receive():
        return {"type": "http.request", "body": json.dumps(body).encode(), "more_body": False}

    async def send(message):
        sent.append(message)

    asyncio.run(app({"type": "http", "method": "POST", "path": "/v1/chat/completions"}, receive, send))
    return sent


ASKED = [{"role": "user", "content": "What sings?"}]
TOOLS = [{"type": "function", "function": {"name": "lookup", "parameters": {}}}]
NAMED = [{"role": "user", "content": "Use lookup."}]


@pytest.fixture
def app(embedder):
    made = model_server.App()
    made._embedder = embedder
    return made


def test_a_completion_comes_whole(app):
    body = json.loads(_chat(app, messages=ASKED)[1]["body"])
    [choice] = body["choices"]
    assert (body["object"], body["model"], choice["finish_reason"]) == ("chat.completion", "spandrel-stand-in", "stop")
    assert "What sings?" in choice["message"]["content"]
    assert body["usage"]["total_tokens"] == body["usage"]["prompt_tokens"] + body["usage"]["completion_tokens"]
    called = json.loads(_chat(app, messages=NAMED, tools=TOOLS)[1]["body"])["choices"][0]
    assert called["finish_reason"] == "tool_calls"
    assert called["message"]["tool_calls"][0]["function"] == {"name": "lookup", "arguments": "{}"}


def test_a_completion_comes_word_by_word(app):
    start, *blocks = _chat(app, messages=ASKED, stream=True)
    assert dict(start["headers"])[b"content-type"] == b"text/event-stream"
    *chunks, last = [block["body"].removeprefix(b"data: ").strip() for block in blocks]
    assert last == b"[DONE]"
    deltas = [json.loads(chunk)["choices"][0]["delta"].get("content", "") for chunk in chunks]
    assert len(deltas) > 10
    whole = json.loads(_chat(app, messages=ASKED)[1]["body"])["choices"][0]["message"]["content"]
    assert "".join(deltas) == whole


def test_a_malformed_conversation_is_refused(app):
    for body in ({}, {"messages": [{"role": "user", "content": 1}]}, {"messages": NAMED, "tools": [{}]}):
        sent = _chat(app, **body)
        assert sent[0]["status"] == 400
        assert json.loads(sent[1]["body"])["error"]["type"] == "invalid_request_error"
