"""Retrieval quality of the real search: real Postgres, the built-in local embedder, the labelled set."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Literal

import pytest

from local.config import LOCAL_MODEL, LOCAL_MODEL_DIMENSIONS
from local.model_embeddings import Embedder as LocalModel
from spandrel.knowledge.ingest.ingest import Ingest
from spandrel.knowledge.ports import Embedded
from spandrel.knowledge.search.search import Search
from spandrel.schema import ensure_embedding_space
from spandrel.usage.prices import PriceTable
from spandrel.vectors import HalfVector
from tests.quality.labelled import load
from tests.quality.ndcg import mean, ndcg
from tests.support.knowledge import KnowledgeBase
from tests.support.postgres import TEMPLATE, Cluster


class LocalEmbedder:
    """The local model server's model, without the server."""

    model, dimensions = LOCAL_MODEL, LOCAL_MODEL_DIMENSIONS

    def __init__(self) -> None:
        self._model = LocalModel()

    def embed(self, texts: Sequence[str]) -> Embedded:
        rows = self._model.embed(list(texts), self.dimensions)
        return Embedded([HalfVector.from_floats(row.tolist()) for row in rows], 0)


@pytest.fixture(scope="module")
def quality(cluster: Cluster) -> Iterator[dict[str, float]]:
    """nDCG@10 by mode, over the whole labelled set."""
    passages, questions = load()
    with cluster.database(TEMPLATE) as name:
        kb = KnowledgeBase(cluster.url(name))
        kb.rows("UPDATE embedding_spaces SET status = 'retired'")
        ensure_embedding_space(kb.url, LOCAL_MODEL, LOCAL_MODEL_DIMENSIONS)
        embedder = LocalEmbedder()
        kb.ingest = Ingest(kb.system, kb.objects, embedder, kb.queue)
        kb.search = Search(kb.app, lambda: embedder, PriceTable.load)
        collection = kb.collection()
        ids = {kb.add(collection, text, name=f"{key}.txt"): key for key, text in passages.items()}

        def score(mode: Literal["hybrid", "vector", "text"]) -> float:
            found = ([ids[hit.document_id] for hit in kb.find(each.text, mode=mode).hits] for each in questions)
            return mean(
                [ndcg(list(dict.fromkeys(keys)), each.relevant) for keys, each in zip(found, questions, strict=True)]
            )

        yield {"hybrid": score("hybrid"), "vector": score("vector"), "text": score("text")}
        kb.close()


def test_hybrid_beats_both_of_its_halves(quality: dict[str, float]) -> None:
    print({mode: round(value, 4) for mode, value in quality.items()})
    assert quality["hybrid"] > quality["vector"]
    assert quality["hybrid"] > quality["text"]


def test_quality_does_not_fall(quality: dict[str, float]) -> None:
    assert quality["hybrid"] > 0.866
    assert quality["vector"] > 0.855
    assert quality["text"] > 0.735
