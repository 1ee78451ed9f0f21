"""Embeddings from OpenAI, or whatever speaks its API at `base_url`. The client is imported with the first text.

Its answers are read by msgspec: the client's own models would take longer than all else of an embedding.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import msgspec

from spandrel.errors import EmbeddingRejectedError, EmbeddingUnavailableError
from spandrel.knowledge.ports import Embedded
from spandrel.vectors import HalfVector

if TYPE_CHECKING:
    import openai

    from spandrel.settings import EmbeddingSettings

_UNREADABLE = "The embedding provider sent an answer that cannot be read. Check the provider's address."


class _Embedding(msgspec.Struct):
    embedding: bytes | list[float]
    """Base64 of little-endian float32, or numbers from a server that knows nothing else."""


class _Usage(msgspec.Struct):
    prompt_tokens: int = 0


class _Answer(msgspec.Struct):
    data: list[_Embedding]
    usage: _Usage | None = None
    """Not every server says."""


_decode = msgspec.json.Decoder(_Answer).decode


class OpenAIEmbedder:
    """Implements `Embedder`."""

    def __init__(self, settings: EmbeddingSettings, api_key: Callable[[], str]) -> None:
        self.model, self.dimensions = settings.model, settings.dimensions
        self._settings, self._api_key = settings, api_key
        self._client: openai.OpenAI | None = None

    def embed(self, texts: Sequence[str]) -> Embedded:
        """One request: as many vectors as texts, in order. Retries are the caller's, who knows how long it may wait."""
        import openai

        if self._client is None:
            self._client = openai.OpenAI(
                api_key=self._api_key(),
                base_url=self._settings.base_url,
                timeout=self._settings.timeout,
                max_retries=0,
            )
        # Only these models can be asked for fewer dimensions; other servers reject the parameter.
        shorter: dict[str, Any] = {"dimensions": self.dimensions} if self.model.startswith("text-embedding-3") else {}
        try:
            # The texts as `extra_body`, which takes precedence: of `input`, the client looks at each by itself.
            answer = self._client.embeddings.with_raw_response.create(
                model=self.model, input="", encoding_format="base64", extra_body={"input": list(texts)}, **shorter
            )
        except openai.RateLimitError as error:
            if error.code == "insufficient_quota":
                raise EmbeddingRejectedError(
                    "The embedding provider's quota is used up. Raise it and retry."
                ) from error
            raise EmbeddingUnavailableError(retry_after=_retry_after(error)) from error
        except openai.APIStatusError as error:
            if error.status_code >= 500 or error.status_code in (408, 409):
                raise EmbeddingUnavailableError(retry_after=_retry_after(error)) from error
            raise EmbeddingRejectedError from error
        except openai.APIConnectionError as error:  # timeouts among them
            raise EmbeddingUnavailableError from error
        except openai.APIError as error:
            raise EmbeddingRejectedError(_UNREADABLE) from error
        return self._embedded(answer.content, len(texts))

    def _embedded(self, content: bytes, expected: int) -> Embedded:
        try:
            answer = _decode(content)
            vectors = [
                HalfVector.from_float32(e) if isinstance(e, bytes) else HalfVector.from_floats(e)
                for e in (item.embedding for item in answer.data)
            ]
        except (msgspec.DecodeError, ValueError) as error:  # what calls itself compatible is not always
            raise EmbeddingRejectedError(_UNREADABLE) from error
        if len(vectors) != expected:
            raise EmbeddingRejectedError(f"The embedding provider sent {len(vectors)} vectors for {expected} texts.")
        for vector in vectors:
            if vector.dimensions != self.dimensions:
                raise EmbeddingRejectedError(
                    f"The model {self.model} gives {vector.dimensions} dimensions; "
                    f"this deployment is set to {self.dimensions}."
                )
        return Embedded(vectors, answer.usage.prompt_tokens if answer.usage else 0)


def _retry_after(error: openai.APIStatusError) -> float | None:
    with suppress(ValueError):
        seconds = float(error.response.headers.get("retry-after", ""))
        if 0 <= seconds < math.inf:
            return seconds
    return None
