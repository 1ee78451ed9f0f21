"""Every type of event, in one place: what it says, of what, and what its data holds.

`append_event` takes any type; a test reads the SQL and holds every type that is written to this list.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import msgspec

from spandrel.events import data, data_integrations as integrations


@dataclass(frozen=True, slots=True)
class EventType:
    """`subject`: the pattern of the event's subject. `reserved`: nothing writes it yet, and no other will have its
    name.
    """

    name: str
    sentence: str
    subject: str
    data: type[data.Data] = data.Data
    reserved: bool = False

    def schema(self, ref_template: str) -> tuple[dict[str, Any], dict[str, Any]]:
        """The JSON Schema of `data` and of what it is made of, by name."""
        (schema,), components = msgspec.json.schema_components([self.data], ref_template=ref_template)
        return schema, components


_COLLECTION, _DOCUMENT, _TEMPLATE = "collections/{id}", "documents/{id}", "templates/{id}"
_CONVERSATION, _SESSION, _TURN, _BUDGET = "conversations/{id}", "sessions/{id}", "turns/{id}", "budgets/{id}"
_INTEGRATION, _APPROVAL, _RUN = "integrations/{id}", "tool-approvals/{id}", "runs/{id}"
_TOOL = "integrations/{id}/tools/{name}"

CATALOGUE = (
    EventType("collection.created", "A collection was made.", _COLLECTION, data.Named),
    EventType("collection.renamed", "A collection has another name.", _COLLECTION, data.Named),
    EventType("collection.deleted", "A collection is gone, and its documents with it.", _COLLECTION),
    EventType("document.created", "A document was announced; its file is awaited.", _DOCUMENT, data.DocumentCreated),
    EventType("document.queued", "A document waits to be worked on again.", _DOCUMENT, data.DocumentQueued),
    EventType("document.parsing", "A worker reads a document's file.", _DOCUMENT, data.DocumentParsing),
    EventType("document.chunking", "A document's text is cut into passages.", _DOCUMENT),
    EventType("document.embedding", "A document's passages are embedded.", _DOCUMENT),
    EventType("document.ready", "A document's new version is found by searches.", _DOCUMENT, data.DocumentReady),
    EventType("document.failed", "A document could not be read. What was found before still is.", _DOCUMENT,
              data.DocumentFailed),
    EventType("document.deleting", "A document is in no search any more.", _DOCUMENT),
    EventType("document.deleted", "A document and its file are gone.", _DOCUMENT),
    EventType("template.created", "A template was saved for the first time.", _TEMPLATE, data.TemplateCreated),
    EventType("template.version_saved", "A template has a new version.", _TEMPLATE, data.TemplateVersionSaved),
    EventType("template.label_moved", "A label stands at another version.", _TEMPLATE, data.TemplateLabelMoved),
    EventType("template.updated", "A template's description or visibility changed.", _TEMPLATE, data.TemplateUpdated),
    EventType("template.deleted", "A template is gone; sessions made from it go on.", _TEMPLATE, data.Named),
    EventType("conversation.changed", "A conversation has another title, or was archived or taken back.",
              _CONVERSATION, data.ConversationChanged),
    EventType("conversation.deleted", "A conversation is gone with its sessions.", _CONVERSATION),
    EventType("session.created", "A session was begun or forked.", _SESSION, data.SessionCreated),
    EventType("session.active", "A session takes turns: it was resumed, or has its variables.", _SESSION,
              data.SessionMoved),
    EventType("session.paused", "A session takes no turns for now.", _SESSION, data.SessionMoved),
    EventType("session.completed", "A session was ended.", _SESSION, data.SessionMoved),
    EventType("session.failed", "A session ended by a fault.", _SESSION, data.SessionMoved, reserved=True),
    EventType("session.cancelled", "A session was given up.", _SESSION, data.SessionMoved),
    EventType("session.expired", "A session ended because nobody used it.", _SESSION, data.SessionMoved),
    EventType("session.restored", "A session went back to a checkpoint.", _SESSION, data.SessionRestored),
    EventType("session.rewound", "A session went back before a turn, to ask it again.", _SESSION,
              data.SessionRewound),
    EventType("session.capabilities_changed", "What a session can do changed with its user's integrations.", _SESSION,
              data.SessionCapabilitiesChanged),
    EventType("checkpoint.named", "A checkpoint got a name, or lost it.", _SESSION, data.CheckpointNamed),
    EventType("turn.queued", "A turn waits for a worker.", _TURN, data.TurnMoved),
    EventType("turn.started", "A turn is being answered.", _TURN, data.TurnStarted),
    EventType("turn.waiting", "A turn waits for a person's word on a tool.", _TURN, data.TurnMoved),
    EventType("turn.retrying", "A turn lost its worker and waits for another.", _TURN, data.TurnRetrying),
    EventType("turn.completed", "A turn has its answer.", _TURN, data.TurnCompleted),
    EventType("turn.failed", "A turn ended without an answer.", _TURN, data.TurnFailed),
    EventType("turn.cancelled", "A turn was called off.", _TURN, data.TurnCancelled),
    EventType("approval.requested", "A tool is to be called that a person must allow.", _APPROVAL,
              data.ApprovalRequested),
    EventType("approval.decided", "A tool's call was allowed or denied, or nobody decided in time.", _APPROVAL,
              data.ApprovalDecided),
    EventType("usage.budget_set", "A budget was made or changed.", _BUDGET, data.BudgetSet),
    EventType("usage.budget_deleted", "A budget is gone.", _BUDGET),
    EventType("usage.budget_warning", "What was spent has reached a budget's `warn_at`.", _BUDGET, data.BudgetLimit),
    EventType("usage.budget_reached", "A budget is used up: no further turn is begun under it.", _BUDGET,
              data.BudgetLimit),
    EventType("integration.created", "An integration was saved.", _INTEGRATION, integrations.IntegrationCreated),
    EventType("integration.updated", "An integration's settings changed.", _INTEGRATION,
              integrations.IntegrationUpdated),
    EventType("integration.deleted", "An integration is gone with its tools.", _INTEGRATION,
              integrations.IntegrationDeleted),
    EventType("integration.enabled", "An integration is to be used.", _INTEGRATION),
    EventType("integration.disabled", "An integration is not to be used.", _INTEGRATION),
    EventType("integration.status_changed", "What was found out of an integration's health changed.", _INTEGRATION,
              integrations.IntegrationStatusChanged),
    EventType("integration.flapping", "An integration's status changes often, or has calmed down.", _INTEGRATION,
              integrations.IntegrationFlapping),
    EventType("integration.tls_expiring", "A certificate of an integration's server ends soon.", _INTEGRATION,
              integrations.IntegrationTlsExpiring),
    EventType("integration.maintenance_started", "An integration's maintenance window began.", _INTEGRATION,
              integrations.IntegrationMaintenance),
    EventType("integration.maintenance_ended", "An integration's maintenance window ended.", _INTEGRATION,
              integrations.IntegrationMaintenance),
    EventType("tool.added", "An integration's server offers another tool.", _TOOL, integrations.ToolFound),
    EventType("tool.changed", "A tool is not what it was.", _TOOL, integrations.ToolFound),
    EventType("tool.removed", "An integration's server offers a tool no more.", _TOOL, integrations.ToolFound),
    EventType("tool.approved", "A tool that was held may be called.", _TOOL, integrations.ToolReviewed),
    EventType("tool.rejected", "A tool that was held stays held.", _TOOL, integrations.ToolReviewed),
    EventType("tool.updated", "What a tool is used for was changed by its owner.", _TOOL, integrations.ToolUpdated),
    EventType("workflow.run_started", "A workflow's run began.", _RUN, reserved=True),
    EventType("workflow.run_step_changed", "A step of a run moved on.", _RUN, reserved=True),
    EventType("workflow.run_completed", "A run came to its end.", _RUN, reserved=True),
    EventType("workflow.run_failed", "A run ended by a fault.", _RUN, reserved=True),
)  # fmt: skip
BY_NAME = {each.name: each for each in CATALOGUE}
