"""Chat completions from OpenAI, or whatever speaks its API at `base_url`. The client is imported with the first
request.
"""

from __future__ import annotations

import math
import re
import time
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any

from spandrel.adapters.openai_stream import DONE, Assembly, StreamedError, events
from spandrel.chat.models import ChatMessage, ChatRequest, Completion, ModelConfig, TextDelta, TokenUsage
from spandrel.errors import (
    ContextTooLongError,
    ModelAnswerInvalidError,
    ModelError,
    ModelRateLimitedError,
    ModelRejectedError,
    ModelUnavailableError,
)

if TYPE_CHECKING:
    import openai

    from spandrel.settings import ChatSettings

CONNECT_SECONDS = 5.0
# OpenAI's reasoning models refuse the older name, which in turn is the one that every compatible server knows.
_OPENAIS_OWN = re.compile(r"gpt-(?!oss)|chatgpt-|o\d")
# Chat Completions refuses these models' function tools unless they are told not to reason, even on their default.
_NO_TOOLS_WHILE_REASONING = re.compile(r"gpt-5\.6")
_TOO_LONG = re.compile(r"context.{0,10}(length|window|size)|maximum context|prompt is too long", re.IGNORECASE)


def estimate_tokens(text: str) -> int:
    return len(text.encode()) // 4 + 1


class OpenAIChatModel:
    """Implements `ChatModel`. `count_tokens` is used where a server does not say what an answer took."""

    def __init__(
        self,
        settings: ChatSettings,
        api_key: Callable[[], str],
        count_tokens: Callable[[str], int] = estimate_tokens,
    ) -> None:
        self._settings, self._api_key, self._count = settings, api_key, count_tokens
        self._client: openai.OpenAI | None = None

    def stream(self, request: ChatRequest, *, timeout: float) -> Generator[TextDelta | Completion, None, None]:
        return self._stream(request, _body(request), timeout)

    def _stream(
        self, request: ChatRequest, body: dict[str, Any], timeout: float
    ) -> Generator[TextDelta | Completion, None, None]:
        answer, deadline = Assembly(), time.monotonic() + timeout
        with _translated(answer), self._answer(body, min(self._settings.timeout, timeout)) as blocks:
            for event in events(_until(deadline, blocks)):
                if event == DONE:
                    break
                yield from answer.take(event)
        yield answer.finish(request.model, self._estimate(request, answer))

    @contextmanager
    def _answer(self, body: dict[str, Any], patience: float) -> Iterator[Iterator[bytes]]:
        """The blocks of the answer's body, as they come. Closes the connection on leaving, read to its end or not."""
        import openai

        if self._client is None:
            self._client = openai.OpenAI(api_key=self._api_key(), base_url=self._settings.base_url, max_retries=0)
        limits = openai.Timeout(patience, connect=min(CONNECT_SECONDS, patience))
        create: Any = self._client.chat.completions.with_streaming_response.create
        with create(**body, timeout=limits) as response:
            yield response.iter_bytes()

    def _estimate(self, request: ChatRequest, answer: Assembly) -> TokenUsage:
        if answer.usage is not None:
            return answer.usage
        asked = sum(self._count(message.content) + 4 for message in request.messages)
        asked += sum(self._count(repr(part)) for part in (*_calls(request.messages), *request.tools))
        return TokenUsage(asked, 0, self._count(answer.text), estimated=True)


def _calls(messages: Sequence[ChatMessage]) -> list[Any]:
    return [call for message in messages for call in message.tool_calls]


def _body(request: ChatRequest) -> dict[str, Any]:
    config = ModelConfig.of(request.config)
    limit = "max_completion_tokens" if _OPENAIS_OWN.match(request.model) else "max_tokens"
    effort = config.reasoning_effort
    if request.tools and effort is None and _NO_TOOLS_WHILE_REASONING.match(request.model):
        effort = "none"
    options = {
        "temperature": config.temperature,
        "top_p": config.top_p,
        limit: config.max_output_tokens,
        "stop": config.stop_sequences or None,
        "frequency_penalty": config.frequency_penalty,
        "presence_penalty": config.presence_penalty,
        "seed": config.seed,
        "reasoning_effort": effort,
        "verbosity": config.verbosity,
        "tools": [_tool(each.name, description=each.description, parameters=each.parameters) for each in request.tools]
        or None,
    }
    return {
        "model": request.model,
        "messages": [_message(message) for message in request.messages],
        "stream": True,
        "stream_options": {"include_usage": True},
    } | {name: value for name, value in options.items() if value is not None}


def _tool(name: str, **function: Any) -> dict[str, Any]:
    return {"type": "function", "function": {"name": name} | function}


def _message(message: ChatMessage) -> dict[str, Any]:
    import json

    made: dict[str, Any] = {"role": message.role, "content": message.content}
    if message.tool_calls:
        made["content"] = message.content or None
        made["tool_calls"] = [
            {"id": call.id} | _tool(call.name, arguments=json.dumps(call.arguments)) for call in message.tool_calls
        ]
    if message.tool_call_id is not None:
        made["tool_call_id"] = message.tool_call_id
    return made


def _until(deadline: float, blocks: Iterator[bytes]) -> Iterator[bytes]:
    """A server that sends nothing but signs of life is given up as well."""
    for block in blocks:
        if time.monotonic() > deadline:
            raise ModelUnavailableError("The language model did not finish its answer in time.")
        yield block


@contextmanager
def _translated(answer: Assembly) -> Iterator[None]:
    """Vendor's errors into ours. What breaks after the answer's end was said does not spoil the answer."""
    import httpx2
    import openai

    try:
        yield
    except ModelError:
        if answer.reason is None:
            raise
    except StreamedError as error:
        if answer.reason is None:
            raise _reported(error.body) from error
    except openai.APIStatusError as error:
        raise _refused(error) from error
    except openai.APIConnectionError as error:  # timeouts among them
        raise ModelUnavailableError from error
    except httpx2.TimeoutException as error:
        if answer.reason is None:
            raise ModelUnavailableError("The language model stopped in the midst of its answer.") from error
    except httpx2.HTTPError as error:
        if answer.reason is None:
            raise ModelAnswerInvalidError("The model's answer broke off before its end.") from error
    except (openai.OpenAIError, httpx2.InvalidURL) as error:
        raise ModelRejectedError("The provider's address or settings cannot be used. Check them.") from error


def _refused(error: openai.APIStatusError) -> ModelError:
    retry_after = _retry_after(error)
    if error.status_code == 429 and error.code != "insufficient_quota":
        return ModelRateLimitedError(retry_after=retry_after)
    if error.status_code >= 500 or error.status_code in (408, 409):
        return ModelUnavailableError(retry_after=retry_after)
    if error.status_code == 429:
        return ModelRejectedError("The provider's quota is used up. Raise it and try again.")
    if error.status_code in (401, 403):  # what it says may hold part of the key
        return ModelRejectedError("The provider refused the API key. Check it in the deployment's settings.")
    told = error.body if isinstance(error.body, dict) else {}
    return _rejected(error.code, str(told.get("message") or error.message))


def _rejected(code: object, message: str) -> ModelError:
    if code == "context_length_exceeded" or _TOO_LONG.search(message):
        return ContextTooLongError()
    return ModelRejectedError(f"{ModelRejectedError.title()} It said: {message[:300]}")


def _reported(body: Any) -> ModelError:
    """An error that came in the place of a piece of the answer, when the status had long been 200."""
    told: dict[str, Any] = body if isinstance(body, dict) else {"message": str(body)}
    names = {str(told.get("code")), str(told.get("type"))}
    if names & {"rate_limit_exceeded", "429"}:
        return ModelRateLimitedError()
    if "insufficient_quota" in names or "invalid_request_error" in names or "context_length_exceeded" in names:
        return _rejected(told.get("code"), str(told.get("message")))
    return ModelUnavailableError("The language model failed in the midst of its answer.")


def _retry_after(error: openai.APIStatusError) -> float | None:
    with suppress(ValueError):
        seconds = float(error.response.headers.get("retry-after", ""))
        if 0 <= seconds < math.inf:
            return seconds
    return None
