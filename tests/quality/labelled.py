"""The labelled set: short passages with near neighbours on the same subject, and questions in other words.

Some questions paraphrase, some share a word or two with their answer, some name an identifier, as people do; each lists
the passages that answer it. After a first look at the totals, kinds of questions were added for balance; no question
was changed or taken out for how it ranked, and none is to be.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Question:
    text: str
    relevant: frozenset[str]


def load() -> tuple[dict[str, str], list[Question]]:
    """The passages' texts by id, and the questions."""
    data = json.loads(Path(__file__).with_name("retrieval.json").read_text(encoding="utf-8"))
    passages = {passage["id"]: passage["text"] for passage in data["passages"]}
    return passages, [Question(entry["text"], frozenset(entry["relevant"])) for entry in data["questions"]]
