"""The text half of a search beside Postgres' own full-text search: exact BM25 against `tsvector` OR ranking, 10k
chunks.

Both sides read the same texts in the same database and are timed as one statement each; the peer has its GIN index.
"""

from __future__ import annotations

import statistics
import time

import psycopg

from benchmarks import server
from benchmarks.corpus import Corpus, Tenant, load
from spandrel.knowledge.terms import analyzer

CHUNKS = 10_000
QUERIES = 100


def main() -> None:
    with server.postgres() as address:
        url = server.fresh_database(address, "keyword", "bench", 8)
        corpus = Corpus(8)
        collection_id = load(url, corpus, Tenant("tenant", CHUNKS), indexed=True)
        with psycopg.connect(url, autocommit=True) as connection:
            connection.execute("CREATE TABLE peer AS SELECT to_tsvector('english', text) AS words, text FROM chunks")
            connection.execute("CREATE INDEX ON peer USING gin (words)")
            connection.execute("VACUUM (ANALYZE)")
        queries = [corpus.query_text() for _ in range(QUERIES)]
        database = server.as_role(url, "spandrel_app")

        def ours(text: str) -> None:
            terms = analyzer("english").counts(text)
            database.run(
                b"SELECT * FROM matching_chunks(%s::int[], %s::bigint[], %s::uuid[], NULL, 10, true)",
                [list(terms), list(terms.values()), [collection_id]],
                user_id="tenant",
            )

        with psycopg.connect(url, autocommit=True) as connection:

            def theirs(text: str) -> None:
                connection.execute(
                    "SELECT text, ts_rank(words, query) FROM peer, to_tsquery('english', %s) AS query"
                    " WHERE words @@ query ORDER BY 2 DESC LIMIT 10",
                    [" | ".join(text.split())],
                ).fetchall()

            pairs = []
            for number, text in enumerate([*queries[:10], *queries]):
                times = []
                for run in (ours, theirs):
                    begin = time.perf_counter()
                    run(text)
                    times.append((time.perf_counter() - begin) * 1000)
                if number >= 10:
                    pairs.append(times)
        mine, peers = (statistics.median(each) for each in zip(*pairs, strict=True))
        print(f"BM25 {mine:.2f} ms, tsvector OR {peers:.2f} ms, ratio {peers / mine:.1f}")


if __name__ == "__main__":
    main()
