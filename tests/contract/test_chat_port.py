"""One suite for whatever is a `ChatModel`: the OpenAI adapter and the fake. Then what the adapter alone has."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from typing import Any, Protocol

import pytest

from spandrel.adapters.openai_chat import OpenAIChatModel
from spandrel.chat.models import ChatMessage, ChatRequest, Completion, TextDelta, TokenUsage, ToolCall, ToolSpec
from spandrel.chat.ports import ChatModel
from spandrel.errors import (
    ContextTooLongError,
    ModelAnswerInvalidError,
    ModelConfigError,
    ModelError,
    ModelRateLimitedError,
    ModelRejectedError,
    ModelUnavailableError,
)
from spandrel.settings import ChatSettings
from tests.support.chat_fakes import BrokenOff, FakeChatModel
from tests.support.chat_provider import Answer, Call, ChatProvider, Fault

USAGE = TokenUsage(10, 4, 5)
LOOKUP = ToolSpec("lookup", "Looks a word up.", {"type": "object", "properties": {"q": {"type": "string"}}})
FAULTS: dict[type[ModelError], Fault] = {
    ModelUnavailableError: Fault.server_error(),
    ModelRateLimitedError: Fault.rate_limited(7),
    ModelRejectedError: Fault.unauthorised(),
    ContextTooLongError: Fault.context_too_long(),
}


def ask(text: str = "What sings?", **request: Any) -> ChatRequest:
    return ChatRequest("test-model", (ChatMessage("user", text),), **request)


def answer(model: ChatModel, request: ChatRequest | None = None, timeout: float = 10) -> Completion:
    """The completion, held to what every stream must be."""
    *deltas, last = model.stream(request or ask(), timeout=timeout)
    assert isinstance(last, Completion)
    texts = [delta.text for delta in deltas if isinstance(delta, TextDelta)]
    assert len(texts) == len(deltas)
    assert all(texts)
    assert "".join(texts) == last.text
    return last


class Served(Protocol):
    """A model, and the words to say what it does next."""

    model: ChatModel

    def says(self, text: str, *calls: ToolCall) -> None: ...

    def fails(self, error: ModelError, after: str = "") -> None: ...

    def was_left(self) -> bool: ...


class Real:
    def __init__(self, provider: ChatProvider, count: Callable[[str], int] = len, **settings: Any) -> None:
        made: dict[str, Any] = {"model": "test-model", "base_url": provider.url, "api_key": None}
        made |= {"api_key_secret_arn": None, "timeout": 10, "context_tokens": 8192}
        self.provider = provider
        self.model: ChatModel = OpenAIChatModel(ChatSettings(**made | settings), lambda: "sk-hush", count)

    def says(self, text: str, *calls: ToolCall) -> None:
        self.provider.then(Answer(text, calls=tuple(Call(call.name, call.arguments, call.id) for call in calls)))

    def fails(self, error: ModelError, after: str = "") -> None:
        if isinstance(error, ModelAnswerInvalidError):
            self.provider.then(Fault.cut_after(after))
        else:
            self.provider.then(Fault.hang_after(after) if after else FAULTS[type(error)])

    def was_left(self) -> bool:
        return self.provider.hung_up.acquire(timeout=5)


class Fake:
    def __init__(self, provider: ChatProvider) -> None:
        self._fake = FakeChatModel()
        self.model: ChatModel = self._fake

    def says(self, text: str, *calls: ToolCall) -> None:
        self._fake.then(Completion(text, calls, USAGE, "tool_calls" if calls else "stop", "test-model"))

    def fails(self, error: ModelError, after: str = "") -> None:
        self._fake.then(BrokenOff(after, error) if after else error)

    def was_left(self) -> bool:
        return self._fake.closed == 1


@pytest.fixture
def provider() -> Iterator[ChatProvider]:
    with ChatProvider() as found:
        yield found


@pytest.fixture(params=[Real, Fake])
def served(request: pytest.FixtureRequest, provider: ChatProvider) -> Served:
    made: Served = request.param(provider)
    return made


def test_an_answer_comes_in_pieces_and_whole_at_its_end(served: Served) -> None:
    served.says("Whales sing, and so do some mice.")
    pieces = list(served.model.stream(ask(), timeout=10))
    assert len(pieces) > 3
    assert pieces[-1] == Completion("Whales sing, and so do some mice.", (), USAGE, "stop", "test-model")


def test_an_answer_may_be_empty(served: Served) -> None:
    served.says("")
    assert answer(served.model).text == ""


def test_tools_are_called(served: Served) -> None:
    calls = (ToolCall("a", "lookup", {"q": "wörter"}), ToolCall("b", "lookup", {}))
    served.says("Let me see.", *calls)
    found = answer(served.model, ask(tools=(LOOKUP,)))
    assert (found.text, found.tool_calls, found.finish_reason) == ("Let me see.", calls, "tool_calls")


@pytest.mark.parametrize("kind", FAULTS)
def test_a_fault_has_its_type_and_the_next_answer_comes(served: Served, kind: type[ModelError]) -> None:
    served.fails(kind(retry_after=7))
    served.says("Here again.")
    with pytest.raises(kind) as caught:
        answer(served.model)
    if kind is ModelRateLimitedError:
        assert caught.value.retry_after == 7
    assert answer(served.model).text == "Here again."


@pytest.mark.parametrize("kind", [ModelUnavailableError, ModelAnswerInvalidError])
def test_what_came_before_a_fault_was_given_out(served: Served, kind: type[ModelError]) -> None:
    served.fails(kind(), after="Whales sing")
    stream = served.model.stream(ask(), timeout=1)
    assert [next(stream), next(stream)] == [TextDelta("Whales"), TextDelta(" sing")]
    with pytest.raises(kind):
        next(stream)


def test_a_caller_who_leaves_cancels_the_request(served: Served, provider: ChatProvider) -> None:
    if isinstance(served, Real):
        provider.then(Answer("Whales sing for hours.", hold=threading.Event()))
    else:
        served.says("Whales sing for hours.")
    stream = served.model.stream(ask(), timeout=10)
    assert next(stream) == TextDelta("Whales")
    stream.close()
    assert served.was_left()


@pytest.mark.parametrize(
    ("config", "told"),
    [
        ({"warmth": 1}, "warmth"),
        ({"topK": 40}, "topK"),
        ({"temperature": 2.5}, "temperature"),
        ({"temperature": "hot"}, "temperature"),
        ({"maxOutputTokens": 0}, "maxOutputTokens"),
        ({"stopSequences": ["a", "b", "c", "d", "e"]}, "stopSequences"),
        ({"reasoningEffort": "some"}, "reasoningEffort"),
    ],
)
def test_a_configuration_that_is_not_understood_is_refused_at_once(
    served: Served, config: dict[str, Any], told: str
) -> None:
    with pytest.raises(ModelConfigError, match=told):
        served.model.stream(ask(config=config), timeout=10)


def test_every_error_says_whether_another_try_is_worth_it() -> None:
    worth = {ModelUnavailableError, ModelRateLimitedError, ModelAnswerInvalidError}
    assert {kind for kind in ModelError.__subclasses__() if kind.retryable} == worth


# -- of OpenAI's API alone


@pytest.fixture
def openai(provider: ChatProvider) -> Real:
    return Real(provider)


def asked(openai: Real, request: ChatRequest) -> dict[str, Any]:
    openai.says("Yes.")
    answer(openai.model, request)
    return openai.provider.requests[-1]


def test_a_conversation_is_put_into_the_provider_s_words(openai: Real) -> None:
    messages = (
        ChatMessage("system", "You know whales."),
        ChatMessage("user", "What sings?"),
        ChatMessage("assistant", "", (ToolCall("a", "lookup", {"q": "song"}),)),
        ChatMessage("tool", "[1] whales", tool_call_id="a"),
        ChatMessage("assistant", "Whales."),
    )
    body = asked(openai, ChatRequest("test-model", messages, (LOOKUP,)))
    assert body == {
        "model": "test-model",
        "stream": True,
        "stream_options": {"include_usage": True},
        "messages": [
            {"role": "system", "content": "You know whales."},
            {"role": "user", "content": "What sings?"},
            {
                "role": "assistant",
                "content": None,
                "tool_calls": [
                    {"id": "a", "type": "function", "function": {"name": "lookup", "arguments": '{"q": "song"}'}}
                ],
            },
            {"role": "tool", "content": "[1] whales", "tool_call_id": "a"},
            {"role": "assistant", "content": "Whales."},
        ],
        "tools": [
            {
                "type": "function",
                "function": {
                    "name": "lookup",
                    "description": "Looks a word up.",
                    "parameters": {"type": "object", "properties": {"q": {"type": "string"}}},
                },
            }
        ],
    }
    assert openai.provider.headers[-1]["authorization"] == "Bearer sk-hush"


def test_a_configuration_is_put_into_the_provider_s_names(openai: Real) -> None:
    config = {
        "temperature": 0,
        "topP": 0.5,
        "maxOutputTokens": 7,
        "stopSequences": ["END"],
        "frequencyPenalty": 1,
        "presencePenalty": -1,
        "seed": 3,
        "reasoningEffort": "low",
        "verbosity": "high",
    }
    body = asked(openai, ask(config=config))
    for known in ("model", "messages", "stream", "stream_options"):
        del body[known]
    assert body == {
        "temperature": 0,
        "top_p": 0.5,
        "max_tokens": 7,
        "stop": ["END"],
        "frequency_penalty": 1,
        "presence_penalty": -1,
        "seed": 3,
        "reasoning_effort": "low",
        "verbosity": "high",
    }


@pytest.mark.parametrize(
    ("model", "name"),
    [
        ("gpt-5.6-luna", "max_completion_tokens"),
        ("o3", "max_completion_tokens"),
        ("gpt-oss:20b", "max_tokens"),
        ("llama3.3", "max_tokens"),
    ],
)
def test_a_limit_has_the_name_that_the_model_knows(openai: Real, model: str, name: str) -> None:
    request = ChatRequest(model, (ChatMessage("user", "?"),), config={"maxOutputTokens": 9})
    body = asked(openai, request)
    assert {key: body[key] for key in body if "tokens" in key} == {name: 9}


@pytest.mark.parametrize(
    ("model", "tools", "config", "effort"),
    [
        ("gpt-5.6-luna", (LOOKUP,), {}, "none"),
        ("gpt-5.6-luna", (LOOKUP,), {"reasoningEffort": "low"}, "low"),
        ("gpt-5.6-luna", (), {}, None),
        ("gpt-5.4-mini", (LOOKUP,), {}, None),
    ],
)
def test_models_that_take_no_tools_while_reasoning_are_told_not_to(
    openai: Real, model: str, tools: tuple[ToolSpec, ...], config: dict[str, Any], effort: str | None
) -> None:
    request = ChatRequest(model, (ChatMessage("user", "?"),), tools, config)
    assert asked(openai, request).get("reasoning_effort") == effort


@pytest.mark.parametrize("status", [408, 409, 500, 502, 503, 529])
def test_what_may_pass_is_unavailable(openai: Real, status: int) -> None:
    openai.provider.then(Fault.refused(status, retry_after="3"))
    with pytest.raises(ModelUnavailableError) as caught:
        answer(openai.model)
    assert caught.value.retry_after == 3
    assert len(openai.provider.requests) == 1  # waiting is the caller's, who knows for how long


@pytest.mark.parametrize("value", ["soon", "nan", "inf", "-5", "Wed, 21 Oct 2026 07:28:00 GMT", None])
def test_a_retry_after_that_is_no_time_is_ignored(openai: Real, value: str | None) -> None:
    openai.provider.then(Fault.rate_limited(value))
    with pytest.raises(ModelRateLimitedError) as caught:
        answer(openai.model)
    assert caught.value.retry_after is None


@pytest.mark.parametrize(
    ("fault", "told"),
    [
        (Fault.quota(), "quota"),
        (Fault.refused(404, "model_not_found", "The model does not exist."), "It said: The model does not exist"),
        (Fault.refused(400, None, "Unknown parameter."), "Unknown parameter"),
        (Fault.refused(422), "refused"),
        (Fault.unauthorised(), "API key"),
        (Fault.refused(403, None, "Incorrect API key provided: sk-hu**sh."), "API key"),
        (Fault.error_after("", "insufficient_quota"), "refused"),
    ],
)
def test_what_will_not_pass_is_rejected_and_the_key_is_not_told(openai: Real, fault: Fault, told: str) -> None:
    openai.provider.then(fault)
    with pytest.raises(ModelRejectedError, match=told) as caught:
        answer(openai.model)
    assert "sk-hu" not in str(caught.value)


@pytest.mark.parametrize(
    "message",
    [
        "This model's maximum context length is 4096 tokens.",
        "Input exceeds the context window",
        "the request exceeds the available context size",
        "prompt is too long: 9000 tokens",
    ],
)
def test_other_servers_words_for_too_long_are_understood(openai: Real, message: str) -> None:
    openai.provider.then(Fault.refused(400, None, message))
    with pytest.raises(ContextTooLongError):
        answer(openai.model)


def test_a_provider_that_is_not_there_is_unavailable(provider: ChatProvider) -> None:
    with pytest.raises(ModelUnavailableError):
        answer(Real(provider, base_url="http://127.0.0.1:1/v1").model)


def test_a_provider_that_hangs_before_its_first_byte_is_unavailable(openai: Real) -> None:
    openai.provider.then(Fault.hang())
    with pytest.raises(ModelUnavailableError):
        answer(openai.model, timeout=0.2)


def test_a_silence_in_an_answer_is_not_waited_out(provider: ChatProvider) -> None:
    provider.then(Fault.hang_after("Whales"))
    with pytest.raises(ModelUnavailableError, match="stopped"):
        answer(Real(provider, timeout=0.5).model, timeout=1000)


def test_an_address_that_is_none_is_told(provider: ChatProvider) -> None:
    with pytest.raises(ModelRejectedError, match="address"):
        answer(Real(provider, base_url="http://[::1").model)


def test_an_answer_that_goes_on_and_on_ends_with_the_caller_s_time(openai: Real) -> None:
    openai.provider.then(Answer(chunks=("la ",) * 1000, delay=0.02))
    with pytest.raises(ModelUnavailableError, match="in time"):
        answer(openai.model, timeout=0.2)
    assert openai.provider.hung_up.acquire(timeout=5)


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        ("server_error", ModelUnavailableError),
        ("rate_limit_exceeded", ModelRateLimitedError),
        ("context_length_exceeded", ContextTooLongError),
        ("invalid_request_error", ModelRejectedError),
    ],
)
def test_an_error_in_the_place_of_a_piece_has_its_type(openai: Real, code: str, kind: type[ModelError]) -> None:
    fault = Fault.error_after("Whales", code)
    if code == "context_length_exceeded":
        fault = Fault(text="Whales", then="error", body=b'{"error": {"message": "no", "code": "%s"}}' % code.encode())
    openai.provider.then(fault)
    with pytest.raises(kind):
        answer(openai.model)


def test_an_error_that_is_only_a_sentence_is_one(openai: Real) -> None:
    openai.provider.then(Fault(text="Whales", then="error", body=b'{"error": "out of memory"}'))
    with pytest.raises(ModelUnavailableError):
        answer(openai.model)


@pytest.mark.parametrize(
    "behaviour",
    [
        Fault.garbage_after(),
        Fault.garbage_after("Whales"),
        Fault.cut_after(""),
        Fault.no_stream(),
        Fault.no_stream(b'{"choices": []}', "application/json"),
        Fault.no_stream(b"data: [1]\n\n", "text/event-stream"),
        Fault.no_stream(b'data: {"choices": {}}\n\n', "text/event-stream"),
        Fault.no_stream(b'data: {"choices": []}\n\ndata: [DONE]\n\n', "text/event-stream"),
        Fault.no_stream(b'data: {"choices": [{"delta": {"content": 1}}]}\n\n', "text/event-stream"),
        Fault.no_stream(b"x" * (5 << 20), "text/event-stream"),
        Fault.malformed_call(),
        Fault.malformed_call(arguments="[1]"),
        Fault.malformed_call(arguments=r'{"q": "\u0000"}'),
        Fault.malformed_call(name=""),
        Answer(calls=(), finish="tool_calls"),
        Fault(200, b"not gzip", {"content-encoding": "gzip"}),
    ],
)
def test_garbage_is_an_invalid_answer(openai: Real, behaviour: Answer | Fault) -> None:
    openai.provider.then(behaviour)
    with pytest.raises(ModelAnswerInvalidError):
        answer(openai.model)


def stream_of(*events: str, end: str = "\n\n") -> Fault:
    return Fault.no_stream("".join(f"data: {event}{end}" for event in events).encode(), "text/event-stream")


STOP = '{"choices": [{"delta": {}, "finish_reason": "%s"}]}'


@pytest.mark.parametrize("then", ["hang", "cut", "garbage", "error"])
def test_a_fault_after_the_answer_s_end_does_not_spoil_it(openai: Real, then: str) -> None:
    openai.provider.then(Fault(text="Whales", then=then, finished=True, body=b'{"error": {"message": "no"}}'))
    found = answer(openai.model, timeout=1)
    assert (found.text, found.finish_reason, found.usage.estimated) == ("Whales", "stop", True)


@pytest.mark.parametrize(
    ("reason", "ours"),
    [("stop", "stop"), ("eos", "stop"), ("length", "length"), ("content_filter", "content_filter")],
)
def test_reasons_to_end_have_our_names(openai: Real, reason: str, ours: str) -> None:
    openai.provider.then(Answer("Whales", finish=reason))
    assert answer(openai.model).finish_reason == ours


def test_a_refusal_is_an_answer(openai: Real) -> None:
    openai.provider.then(stream_of('{"choices": [{"delta": {"refusal": "I will not."}}]}', STOP % "stop"))
    assert answer(openai.model).text == "I will not."


def test_characters_that_cannot_be_stored_are_left_out_and_all_others_kept(openai: Real) -> None:
    openai.provider.then(
        stream_of('{"choices": [{"delta": {"content": "a\\u0000\u2028\x85b"}}]}', STOP % "stop", end="\r\n\r\n")
    )
    assert answer(openai.model).text == "a\u2028\x85b"


def test_signs_of_life_and_other_fields_are_no_part_of_the_answer(openai: Real) -> None:
    said = b'event: chunk\ndata: {"choices": [{"delta": {"content": "a"}}]}\n\n: still here\n\n'
    openai.provider.then(Fault.no_stream(said + f"data: {STOP % 'stop'}\n\n".encode(), "text/event-stream"))
    assert answer(openai.model).text == "a"


def test_a_last_line_without_its_blank_line_counts(openai: Real) -> None:
    openai.provider.then(stream_of('{"choices": [{"delta": {"content": "a"}}]}\n', STOP % "stop", end="\n"))
    assert answer(openai.model).text == "a"


def call_event(**call: Any) -> str:
    import json

    return json.dumps({"choices": [{"delta": {"tool_calls": [call]}}]})


@pytest.mark.parametrize("index", [{}, {"index": 0}])
def test_calls_that_a_server_does_not_number_are_told_apart(openai: Real, index: dict[str, int]) -> None:
    openai.provider.then(
        stream_of(
            call_event(id="a", function={"name": "one", "arguments": '{"n":'}, **index),
            call_event(function={"arguments": " 1}"}, **index),
            call_event(id="b", function={"name": "two"}, **index),
            STOP % "stop",
        )
    )
    assert answer(openai.model).tool_calls == (ToolCall("a", "one", {"n": 1}), ToolCall("b", "two", {}))


def test_a_call_without_an_id_gets_one(openai: Real) -> None:
    openai.provider.then(stream_of(call_event(function={"name": "one"}), STOP % "tool_calls"))
    assert answer(openai.model).tool_calls == (ToolCall("call_0", "one", {}),)


def test_what_a_server_does_not_count_is_counted_and_said_to_be(openai: Real) -> None:
    openai.provider.then(Answer("Whales", usage=None))
    found = answer(openai.model, ask("four")).usage
    assert found == TokenUsage(8, 0, 6, estimated=True)
    openai.provider.then(Answer("Whales", usage=None))
    more = answer(openai.model, ask("four", tools=(LOOKUP,))).usage
    assert more.input_tokens > found.input_tokens


def test_without_a_tokeniser_counts_are_estimated(provider: ChatProvider) -> None:
    from spandrel.adapters.openai_chat import estimate_tokens

    provider.then(Answer("Whales sing", usage=None))
    assert answer(Real(provider, estimate_tokens).model).usage.output_tokens == 3


@pytest.mark.parametrize(
    ("usage", "found"),
    [
        ((10, 99, 5), TokenUsage(10, 10, 5)),
        ((-1, -1, -1), TokenUsage(0, 0, 0)),
    ],
)
def test_counts_that_cannot_be_are_brought_into_bounds(
    openai: Real, usage: tuple[int, int, int], found: TokenUsage
) -> None:
    openai.provider.then(Answer("Whales", usage=usage))
    assert answer(openai.model).usage == found


def test_counts_without_details_and_without_numbers(openai: Real) -> None:
    whole = '{"usage": {"prompt_tokens": 9, "completion_tokens": 2}}'
    openai.provider.then(stream_of(STOP % "stop", whole), stream_of(STOP % "stop", '{"usage": {}}'))
    assert answer(openai.model).usage == TokenUsage(9, 0, 2)
    assert answer(openai.model).usage.estimated


def test_tokens_written_to_the_cache_are_told(openai: Real) -> None:
    details = '{"cached_tokens": 2, "cache_write_tokens": 5}'
    usage = f'{{"usage": {{"prompt_tokens": 9, "completion_tokens": 2, "prompt_tokens_details": {details}}}}}'
    openai.provider.then(stream_of(STOP % "stop", usage))
    assert answer(openai.model).usage == TokenUsage(9, 2, 2, cache_write_tokens=5)


def test_the_key_is_in_no_error(openai: Real) -> None:
    for fault in (Fault.unauthorised(), Fault.rate_limited(), Fault.server_error(), Fault.hang_after("a")):
        openai.provider.then(fault)
        with pytest.raises(ModelError) as caught:
            answer(openai.model, timeout=1)
        assert "sk-hush" not in f"{caught.value!r} {caught.value.__cause__!r}"
