"""Chunking with token counts: ours beside LangChain's token-counting splitter, in one process, on the same text.

    python -m benchmarks.chunking [megabytes] [rounds]

Rounds alternate between the two; the medians are printed. Ours parses the text and gives offsets, heading paths, exact
counts and hashes; theirs gives texts. Both use the same vocabulary, from the same file.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median

sys.path.insert(0, str(Path(__file__).parents[1] / "layers" / "shared"))

SIZE, OVERLAP = 400, 60


def prose(megabytes: float) -> str:
    """English with headings, lists and code: the language reference that Python carries for its `help()`, repeated."""
    from pydoc_data.topics import topics

    parts = [f"# {name.title()}\n\n{body.strip()}" for name, body in sorted(topics.items())]
    text = "\n\n".join(parts)
    copies = int(megabytes * 1e6 / len(text)) + 1
    return "\n\n".join([text] * copies)[: int(megabytes * 1e6)]


def contenders(text: str) -> dict[str, Callable[[], int]]:
    import tiktoken.registry
    from langchain_text_splitters import RecursiveCharacterTextSplitter

    from spandrel.knowledge.ingest import tokens
    from spandrel.knowledge.ingest.chunk import chunk
    from spandrel.knowledge.ingest.parse import parse

    tiktoken.registry.ENCODINGS["cl100k_base"] = tokens.encoding()  # so that LangChain does not download it
    splitter = RecursiveCharacterTextSplitter.from_tiktoken_encoder(
        encoding_name="cl100k_base", chunk_size=SIZE, chunk_overlap=OVERLAP
    )
    data = text.encode()

    def ours() -> int:
        return len(chunk(parse(data, name="text.txt", content_type=None), size=SIZE, overlap=OVERLAP))

    return {"spandrel (parse and chunk)": ours, "langchain": lambda: len(splitter.split_text(text))}


def main() -> None:
    megabytes = float(sys.argv[1]) if len(sys.argv) > 1 else 2.0
    rounds = int(sys.argv[2]) if len(sys.argv) > 2 else 5
    text = prose(megabytes)
    size = len(text.encode()) / 1e6
    runs = contenders(text)
    times: dict[str, list[float]] = {name: [] for name in runs}
    chunks = {name: run() for name, run in runs.items()}  # warm
    for _ in range(rounds):
        for name, run in runs.items():
            start = time.perf_counter()
            run()
            times[name].append(time.perf_counter() - start)
    for name, taken in times.items():
        print(f"{name:28} {size / median(taken):6.2f} MB/s  {chunks[name]:6} chunks")
    ours, theirs = (median(taken) for taken in times.values())
    print(f"ratio {theirs / ours:.2f}")


if __name__ == "__main__":
    main()
