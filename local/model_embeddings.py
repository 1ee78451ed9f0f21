"""Embeddings by WordLlama, with nothing downloaded: its weights lie in its wheel.

Texts are lower-cased (it embeds capitals badly), and an empty one gets the zero vector's nearest legal kin, a constant
one. Punctuation goes, so that a word is cut into the same tokens beside a bracket as beside a blank, and what is said
again counts for less: both make rankings better (docs/decisions/0005-fusion.md).
"""

from __future__ import annotations

import base64
import re
from pathlib import Path
from typing import Any

from local.config import LOCAL_MODEL, LOCAL_MODEL_DIMENSIONS

MAX_INPUTS = 2048
REPEATED = 0.75
"""A token that a text has n times counts n to this power."""
_PUNCTUATION = re.compile(r"[!-/:-@\[-`{-~\u2010-\u205e]+")


class BadRequestError(Exception):
    """What the client sent cannot be answered; the message is for it."""


class Embedder:
    """WordLlama, loaded from its own wheel."""

    def __init__(self) -> None:
        import wordllama

        folder = Path(wordllama.__file__).parent
        model = wordllama.WordLlama.load(cache_dir=folder, disable_download=True)
        self._tokenizer, self._weights = model.tokenizer, model.embedding
        self._tokenizer.no_padding()

    def embed(self, texts: list[str], dimensions: int = LOCAL_MODEL_DIMENSIONS) -> Any:
        """Unit vectors (float32), one row a text. Fewer dimensions are the first ones: the model is trained for it."""
        import numpy

        rows = numpy.zeros((len(texts), LOCAL_MODEL_DIMENSIONS), dtype=numpy.float32)
        encoded = self._tokenizer.encode_batch(list(map(_words, texts)), add_special_tokens=False)
        for row, each in zip(rows, encoded, strict=True):
            tokens, counts = numpy.unique(numpy.array(each.ids, dtype=numpy.int32), return_counts=True)
            row[:] = (counts**REPEATED).astype(numpy.float32) @ self._weights[tokens]
        rows = rows[:, :dimensions]
        rows[~rows.any(axis=1)] = 1.0  # nothing known in the text: a direction like any other, but not NaN
        return (rows / numpy.linalg.norm(rows, axis=1, keepdims=True)).astype(numpy.float32)


def _words(text: str) -> str:
    """`text` in lower case without punctuation, if anything is left of it then."""
    lower = text.lower()
    return " ".join(_PUNCTUATION.sub(" ", lower).split()) or lower.strip()


def token_count(text: str) -> int:
    """About as many as a tokeniser would count."""
    return len(text) // 4 + 1


def answer(embedder: Embedder, body: dict[str, Any]) -> dict[str, Any]:
    """The answer to one `POST /v1/embeddings`."""
    given = body.get("input")
    texts = [given] if isinstance(given, str) else given
    if not isinstance(texts, list) or not texts or not all(isinstance(text, str) for text in texts):
        raise BadRequestError("input must be a string or a list of strings")
    if len(texts) > MAX_INPUTS:
        raise BadRequestError(f"input may hold at most {MAX_INPUTS} texts")
    dimensions = body.get("dimensions", LOCAL_MODEL_DIMENSIONS)
    if not isinstance(dimensions, int) or not 1 <= dimensions <= LOCAL_MODEL_DIMENSIONS:
        raise BadRequestError(f"dimensions must be from 1 to {LOCAL_MODEL_DIMENSIONS}")
    rows, packed = embedder.embed(texts, dimensions), body.get("encoding_format") == "base64"
    tokens = sum(map(token_count, texts))
    return {
        "object": "list",
        "model": LOCAL_MODEL,
        "data": [
            {
                "object": "embedding",
                "index": index,
                "embedding": base64.b64encode(row.tobytes()).decode() if packed else row.tolist(),
            }
            for index, row in enumerate(rows)
        ],
        "usage": {"prompt_tokens": tokens, "total_tokens": tokens},
    }
