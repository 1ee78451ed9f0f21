"""Chunking with token counts: ours beside LangChain's token-counting splitter, in one process, on the same text.

    python -m benchmarks.chunking [megabytes] [rounds]

Rounds alternate between the two; the medians are printed. Ours parses Markdown and gives offsets, heading paths, exact
counts and hashes; theirs gives texts. Both use the same vocabulary, from the same file.
"""

from __future__ import annotations

import random
import sys
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median

sys.path.insert(0, str(Path(__file__).parents[1] / "layers" / "shared"))

SIZE, OVERLAP = 400, 60


def prose(megabytes: float, seed: int = 7) -> str:
    """Markdown made of sections, paragraphs, lists and tables over a vocabulary of 6,000 words with Zipf's frequencies."""
    rng = random.Random(seed)
    syllables = "an ber con der es fi gra hol in jo ka lum men nor ob pra qui res sta tion un ver wil xen yor zu".split()
    vocabulary = ["".join(rng.choices(syllables, k=rng.choice((1, 1, 2, 2, 3)))) for _ in range(6000)]
    common = "the of and to in a is that for it as was with be by on not he this are or his from at which".split()
    weights = [1 / rank for rank in range(1, len(vocabulary) + 1)]

    def sentence() -> str:
        count = rng.randint(6, 22)
        words = [rng.choice(common) if rng.random() < 0.45 else w for w in rng.choices(vocabulary, weights, k=count)]
        return " ".join(words).capitalize() + rng.choice((".", ".", ".", "?", "; see 3.14 (page 27)."))

    parts: list[str] = []
    length = 0
    while length < megabytes * 1e6:
        kind = rng.random()
        if kind < 0.08:
            part = "#" * rng.randint(1, 3) + " " + " ".join(rng.choices(vocabulary, weights, k=4)).title()
        elif kind < 0.2:
            part = "\n".join("- " + sentence() for _ in range(rng.randint(2, 6)))
        elif kind < 0.25:
            cells = ["| " + " | ".join(rng.choices(vocabulary, weights, k=4)) + " |" for _ in range(8)]
            part = "\n".join([cells[0], "|---|---|---|---|", *cells[1:]])
        else:
            part = " ".join(sentence() for _ in range(rng.randint(2, 9)))
        parts.append(part)
        length += len(part) + 2
    return "\n\n".join(parts)


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
        return len(chunk(parse(data, name="text.md", content_type=None), size=SIZE, overlap=OVERLAP))

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
