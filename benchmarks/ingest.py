"""Ingest beside langchain-postgres: the store stage alone, and whole documents with one embedding server for both.

Both write to the same Postgres, in the same run, in turn, and each round has texts that no round before had. What comes
before the work (a document announced, texts drawn) is in nobody's time. Chunks a second, and the ratio.
"""

from __future__ import annotations

import gc
import statistics
import time
import uuid
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import NamedTuple

import psycopg
from langchain_core.documents import Document as PeerDocument
from langchain_core.embeddings import Embeddings
from langchain_openai import OpenAIEmbeddings
from langchain_postgres import PGEngine, PGVectorStore
from langchain_text_splitters import RecursiveCharacterTextSplitter

from benchmarks import server
from benchmarks.corpus import Corpus, chunks_of, claim_of, half_vectors
from benchmarks.embedding_server import embedding_server
from benchmarks.peers import use_bundled_vocabulary
from spandrel.adapters.openai_embeddings import OpenAIEmbedder
from spandrel.knowledge.ingest.embed import Patience
from spandrel.knowledge.ingest.ingest import Ingest, Outcome
from spandrel.knowledge.ingest.models import Claim, IngestTask, Version
from spandrel.knowledge.ingest.store import publish
from spandrel.knowledge.ingest.weigh import weigh_chunks
from spandrel.knowledge.models import S3Object, object_key
from spandrel.settings import EmbeddingSettings

DIMENSIONS = 1536
ROUNDS = 7
STORE_CHUNKS = 2000
STORE_CHUNKS_PEER = 500
DOCUMENTS = 12
WORDS_A_DOCUMENT = 60_000
PEER_SHARE = 6  # the peer gets this part of the documents: it is that much slower


class Canned(Embeddings):
    """Vectors that are there already: only the store is measured."""

    def __init__(self, vectors: list[list[float]]) -> None:
        self.vectors = vectors

    def embed_documents(self, texts: list[str]) -> list[list[float]]:
        return self.vectors[: len(texts)]

    def embed_query(self, text: str) -> list[float]:
        return self.vectors[0]


class Memory:
    """An object store and a queue without a network."""

    def __init__(self) -> None:
        self.files: dict[str, bytes] = {}

    def read(self, key: str, version_id: str | None) -> bytes:
        return self.files[key]

    def send(self, body: object, delay_seconds: float = 0) -> None:
        raise AssertionError("nothing is to be queued again")


def new_collection(url: str) -> uuid.UUID:
    with psycopg.connect(url, autocommit=True) as connection:
        row = connection.execute(
            "INSERT INTO collections (user_id, name) VALUES ('bench', %s) RETURNING id", [uuid.uuid4().hex]
        ).fetchone()
    return row[0]


def new_document(url: str, collection_id: uuid.UUID, status: str, owner: uuid.UUID | None) -> uuid.UUID:
    with psycopg.connect(url, autocommit=True) as connection:
        row = connection.execute(
            "INSERT INTO documents (user_id, collection_id, name, status, lease_owner)"
            " VALUES ('bench', %s, 'bench.txt', %s, %s) RETURNING id",
            [collection_id, status, owner],
        ).fetchone()
    return row[0]


def peer_store(url: str, embeddings: Embeddings) -> PGVectorStore:
    engine = PGEngine.from_connection_string(url.replace("postgresql://", "postgresql+psycopg://"))
    table = f"peer_{uuid.uuid4().hex}"
    engine.init_vectorstore_table(table, vector_size=DIMENSIONS)
    return PGVectorStore.create_sync(engine, embeddings, table)


class Round(NamedTuple):
    """One round's work, ready to begin: `ours` and `theirs` give how many chunks they stored."""

    ours: Callable[[], int]
    theirs: Callable[[], int]


def store_stage(url: str) -> Iterator[Round]:
    corpus, database = Corpus(DIMENSIONS), server.as_role(url, "spandrel_system")
    canned = Canned(corpus.vectors(STORE_CHUNKS_PEER).tolist())
    peer = peer_store(url, canned)
    while True:
        vectors = corpus.vectors(STORE_CHUNKS)
        canned.vectors = vectors[:STORE_CHUNKS_PEER].tolist()
        texts = corpus.texts(STORE_CHUNKS)
        chunks, owner, collection_id = chunks_of(texts), uuid.uuid4(), new_collection(url)
        version = Version("text/plain", chunks, half_vectors(vectors), weigh_chunks("english", chunks))
        document_id = new_document(url, collection_id, "embedding", owner)
        claim = replace(claim_of(document_id, "bench", collection_id, DIMENSIONS), owner=owner)
        peer_documents = [PeerDocument(text) for text in texts[:STORE_CHUNKS_PEER]]

        def ours(claim: Claim = claim, version: Version = version) -> int:
            publish(database, claim, version)
            return len(version.chunks)

        def theirs(documents: list[PeerDocument] = peer_documents) -> int:
            return len(peer.add_documents(documents))

        yield Round(ours, theirs)


def whole_ingest(url: str, embeddings_url: str) -> Iterator[Round]:
    corpus, database = Corpus(DIMENSIONS), server.as_role(url, "spandrel_system")
    settings = EmbeddingSettings("bench", DIMENSIONS, embeddings_url, "none", None, 60)
    memory = Memory()
    ingest = Ingest(database, memory, OpenAIEmbedder(settings, lambda: "none"), memory)  # type: ignore[arg-type]
    splitter = RecursiveCharacterTextSplitter.from_tiktoken_encoder("cl100k_base", chunk_size=400, chunk_overlap=60)
    peer = peer_store(
        url,
        OpenAIEmbeddings(
            model="bench", api_key="none", base_url=embeddings_url, check_embedding_ctx_length=False, chunk_size=2048
        ),
    )
    while True:
        files = [text_of(corpus) for _ in range(DOCUMENTS)]
        collection_id = new_collection(url)
        tasks = [announced(url, memory, collection_id, text) for text in files]

        def ours(tasks: list[IngestTask] = tasks, collection_id: uuid.UUID = collection_id) -> int:
            outcomes = [ingest.run(task, Patience(lambda: 600.0)) for task in tasks]
            assert set(outcomes) == {Outcome.READY}
            return chunk_count(url, collection_id)

        def theirs(files: list[str] = files[: DOCUMENTS // PEER_SHARE]) -> int:
            pieces = [piece for text in files for piece in splitter.split_text(text)]
            return len(peer.add_documents([PeerDocument(piece) for piece in pieces]))

        yield Round(ours, theirs)


def text_of(corpus: Corpus) -> str:
    return "\n\n".join(corpus.texts(WORDS_A_DOCUMENT // 180))


def announced(url: str, memory: Memory, collection_id: uuid.UUID, text: str) -> IngestTask:
    document_id = new_document(url, collection_id, "awaiting_upload", None)
    key = object_key(document_id)
    memory.files[key] = text.encode()
    return IngestTask(document_id, S3Object(key, None, "etag", len(text), "1".rjust(32, "0")))


def chunk_count(url: str, collection_id: uuid.UUID) -> int:
    with psycopg.connect(url) as connection:
        return connection.execute("SELECT chunk_count FROM collections WHERE id = %s", [collection_id]).fetchone()[0]


def compare(name: str, share: float, rounds: Iterator[Round]) -> None:
    """Rounds in turn, so that a drifting machine drifts for both; medians of the rates and of the ratios. `share`: how
    much more text ours has than theirs. From one text the peer makes more chunks, so the ratio is given of texts too.
    """
    taken: list[tuple[Taken, Taken]] = []
    for number in range(ROUNDS + 1):
        both = next(rounds)
        gc.collect()
        gc.freeze()  # what the benchmark holds is no work of either side's collector
        pair = (take(both.ours), take(both.theirs))
        gc.unfreeze()
        if number:  # the first round warms up
            taken.append(pair)
    mine, peers = (statistics.median(side.rate for side in sides) for sides in zip(*taken, strict=True))
    ratios = sorted(ours.rate / theirs.rate for ours, theirs in taken)
    by_text = statistics.median(share * theirs.seconds / ours.seconds for ours, theirs in taken)
    print(
        f"{name}: {mine:,.0f} chunks/s, langchain-postgres {peers:,.0f} chunks/s, "
        f"ratio {statistics.median(ratios):.1f} ({ratios[0]:.1f} to {ratios[-1]:.1f}), by text {by_text:.1f}",
        flush=True,
    )


class Taken(NamedTuple):
    chunks: int
    seconds: float

    @property
    def rate(self) -> float:
        return self.chunks / self.seconds


def take(run: Callable[[], int]) -> Taken:
    begin = time.perf_counter()
    chunks = run()
    return Taken(chunks, time.perf_counter() - begin)


def main() -> None:
    use_bundled_vocabulary()
    with server.postgres() as address, embedding_server(18099, DIMENSIONS) as embeddings_url:
        url = server.fresh_database(address, "ingest", "bench", DIMENSIONS)
        compare("store stage", STORE_CHUNKS / STORE_CHUNKS_PEER, store_stage(url))
        compare("whole ingest", PEER_SHARE, whole_ingest(url, embeddings_url))


if __name__ == "__main__":
    main()
