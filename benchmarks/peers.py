"""What the peers need in order to run here at all."""

from __future__ import annotations


def use_bundled_vocabulary() -> None:
    """Gives tiktoken our copy of cl100k_base: by itself it would download one."""
    import tiktoken.registry

    from spandrel.knowledge.ingest import tokens

    tiktoken.registry.ENCODINGS["cl100k_base"] = tokens.encoding()
