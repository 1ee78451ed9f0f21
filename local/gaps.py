"""What the emulator makes of a template otherwise than AWS, put right after the deployment through its API."""

from __future__ import annotations

from typing import TYPE_CHECKING

from local import emulator

if TYPE_CHECKING:
    from local.config import Config


def numbers_of_event_sources(config: Config) -> None:
    """A number that comes from a parameter arrives as text, and the queue's poller stops at it: give it as a number."""
    functions = emulator.client(config, "lambda")
    for mapping in functions.list_event_source_mappings()["EventSourceMappings"]:
        limit = mapping.get("ScalingConfig", {}).get("MaximumConcurrency")
        if limit is not None:
            functions.update_event_source_mapping(
                UUID=mapping["UUID"], ScalingConfig={"MaximumConcurrency": int(limit)}
            )
