"""How sure a session may be of its start: a product of parts, so that every shortcoming shows."""

from __future__ import annotations

from collections.abc import Sequence

from spandrel.prompts.models import CapabilityMatch, Composed
from spandrel.sessions.begin_models import Confidence, Reason
from spandrel.templates.bind import Bindings
from spandrel.templates.models import Structure

DEGRADED = 0.75
"""What a capability counts for whose integration is degraded."""
WITHOUT_CAPABILITIES = 0.4
"""What is left where none of the wanted capabilities is available."""
WITHOUT_KNOWLEDGE = 0.6
"""What is left where the template retrieves and nothing was found."""


def assess(structure: Structure, bindings: Bindings, composed: Composed) -> Confidence:
    """Required variables bound, types valid, capabilities available, knowledge found; what does not apply counts 1."""
    reasons = [
        _required(structure, bindings),
        Reason(part="types", score=1.0, detail="Every value has the type that its variable declares."),
        _capabilities(composed.capabilities),
        _knowledge(structure, composed),
    ]
    score = 1.0
    for reason in reasons:
        score *= reason.score
    return Confidence(score=round(score, 4), threshold=structure.confidence_threshold, reasons=reasons)


def _required(structure: Structure, bindings: Bindings) -> Reason:
    required = [variable.name for variable in structure.variables if variable.required]
    bound = len(required) - len(bindings.missing)
    detail = f"{bound} of {len(required)} required variables are bound." if required else "No variable is required."
    return Reason(
        part="required",
        score=bound / len(required) if required else 1.0,
        detail=detail,
        raised_by=f"Give {', '.join(bindings.missing)}." if bindings.missing else None,
    )


def _capabilities(matches: Sequence[CapabilityMatch]) -> Reason:
    lacking = [f"{match.capability} ({match.reason})" for match in matches if not match.available]
    degraded = [match.capability for match in matches if match.available and match.status == "degraded"]
    if not matches:
        return Reason(part="capabilities", score=1.0, detail="The template asks for no capability.")
    served = len(matches) - len(lacking)
    share = (served - (1 - DEGRADED) * len(degraded)) / len(matches)
    hints = [f"Make available: {', '.join(lacking)}."] if lacking else []
    hints += [f"Wait for a degraded integration: {', '.join(degraded)}."] if degraded else []
    return Reason(
        part="capabilities",
        score=round(WITHOUT_CAPABILITIES + (1 - WITHOUT_CAPABILITIES) * share, 4),
        detail=f"{served} of {len(matches)} capabilities are available.",
        raised_by=" ".join(hints) or None,
    )


def _knowledge(structure: Structure, composed: Composed) -> Reason:
    if structure.knowledge is None:
        return Reason(part="knowledge", score=1.0, detail="The template retrieves nothing.")
    if composed.passages:
        return Reason(part="knowledge", score=1.0, detail=f"{len(composed.passages)} passages were found.")
    return Reason(
        part="knowledge",
        score=WITHOUT_KNOWLEDGE,
        detail="No passage was found.",
        raised_by="Upload documents that answer the template's knowledge query.",
    )
