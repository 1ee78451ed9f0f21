"""Every error that a caller can see, typed. The docstring is the message; `code` is the contract.

Message text is for people and may change; `code` and `status` never do. `problem()` is the one place that maps an
error to an RFC 9457 problem details object.
"""

from __future__ import annotations

from typing import Any

from spandrel.errors.base import SpandrelError as SpandrelError
from spandrel.errors.documents import (
    DocumentDamagedError as DocumentDamagedError,
    DocumentEmptyError as DocumentEmptyError,
    DocumentEncryptedError as DocumentEncryptedError,
    DocumentError as DocumentError,
    DocumentLimitError as DocumentLimitError,
    DocumentTooLargeError as DocumentTooLargeError,
    DocumentTypeMismatchError as DocumentTypeMismatchError,
    DocumentTypeUnsupportedError as DocumentTypeUnsupportedError,
    DocumentWorkerLostError as DocumentWorkerLostError,
)
from spandrel.errors.integrations import (
    IntegrationDisabledError as IntegrationDisabledError,
    ToolChangedError as ToolChangedError,
    TooManyIntegrationsError as TooManyIntegrationsError,
    TooOftenError as TooOftenError,
)
from spandrel.errors.models import (
    ContextTooLongError as ContextTooLongError,
    ModelAnswerInvalidError as ModelAnswerInvalidError,
    ModelConfigError as ModelConfigError,
    ModelError as ModelError,
    ModelRateLimitedError as ModelRateLimitedError,
    ModelRejectedError as ModelRejectedError,
    ModelUnavailableError as ModelUnavailableError,
)
from spandrel.errors.outbound import (
    AddressForbiddenError as AddressForbiddenError,
    RegistryUnavailableError as RegistryUnavailableError,
    SecretsUnavailableError as SecretsUnavailableError,
    SecretUnreadableError as SecretUnreadableError,
    ToolCallError as ToolCallError,
)
from spandrel.errors.realtime import (
    ConnectionFloodedError as ConnectionFloodedError,
    ConnectionUnknownError as ConnectionUnknownError,
    EventsExpiredError as EventsExpiredError,
    MessageTooLargeError as MessageTooLargeError,
    RateLimitedError as RateLimitedError,
    SeqAheadError as SeqAheadError,
    TicketInvalidError as TicketInvalidError,
    UnknownActionError as UnknownActionError,
)


class InvalidRequestError(SpandrelError):
    """The request does not have the shape that this operation takes."""

    code = "invalid_request"
    status = 422


class InvalidJsonError(SpandrelError):
    """The request body is not valid JSON."""

    code = "invalid_json"
    status = 400


class UnauthenticatedError(SpandrelError):
    """The request carries no verified identity. Send a valid bearer token."""

    code = "unauthenticated"
    status = 401


class NotFoundError(SpandrelError):
    """There is no such resource, or it is not yours."""

    code = "not_found"
    status = 404


class ConflictError(SpandrelError):
    """The request cannot be done in the resource's present state."""

    code = "conflict"
    status = 409


class NameTakenError(ConflictError):
    """A resource of this kind with this name exists already. Choose another name."""

    code = "name_taken"


class ReadOnlyError(SpandrelError):
    """This belongs to somebody who shares it with you. You can use it; to change it, make a copy of your own."""

    code = "read_only"
    status = 403


class IllegalMoveError(ConflictError):
    """The session's status does not allow this. `legal` names what it may become."""

    code = "illegal_move"


class IdempotencyMismatchError(SpandrelError):
    """This Idempotency-Key was used with a different request. Use a new key for a new request."""

    code = "idempotency_key_reused"
    status = 422


class MessageIdReusedError(SpandrelError):
    """This client_message_id was used for a message with another text. Use a new one for a new message."""

    code = "client_message_id_reused"
    status = 422


class SchemaVersionError(SpandrelError):
    """The database schema is not the one that this version of the code was written for. Run the migrations."""

    code = "schema_version_mismatch"
    status = 503


class DatabaseUnavailableError(SpandrelError):
    """The database cannot be reached at the moment. Try again shortly."""

    code = "database_unavailable"
    status = 503


class EmbeddingUnavailableError(SpandrelError):
    """The embedding provider cannot be reached or is over its limits. Try again shortly, or search with mode "text"."""

    code = "embedding_unavailable"
    status = 503

    def __init__(self, detail: str | None = None, *, retry_after: float | None = None) -> None:
        super().__init__(detail)
        self.retry_after = retry_after


class EmbeddingRejectedError(SpandrelError):
    """The embedding provider refused the request. Check the model's name and the API key in the deployment's
    settings.
    """

    code = "embedding_rejected"
    status = 502


class BudgetExceededError(SpandrelError):
    """A budget is used up. Raise it, or wait for its next period."""

    code = "budget_exceeded"
    status = 402


class StorageUnavailableError(SpandrelError):
    """The object store cannot be reached at the moment. Try again shortly."""

    code = "storage_unavailable"
    status = 503


class QueueUnavailableError(SpandrelError):
    """The queue cannot be reached at the moment. What was asked for is stored and will be sent within minutes."""

    code = "queue_unavailable"
    status = 503


class TemplateInvalidError(SpandrelError):
    """The template's source has faults. Each is listed with its line, column and code."""

    code = "template_invalid"
    status = 422


class VariablesInvalidError(SpandrelError):
    """The variables are not what the template asks for. Each that is at fault is listed."""

    code = "variables_invalid"
    status = 422


class PromptTooLargeError(SpandrelError):
    """With these variables the template makes a prompt of more than a million characters. Pass less text or fewer
    items.
    """

    code = "prompt_too_large"
    status = 422


def problem(error: SpandrelError, *, instance: str | None = None) -> dict[str, Any]:
    """The RFC 9457 body of `error`: `type`, `title`, `status`, `detail`, `code` and what else the error names."""
    body: dict[str, Any] = {
        "type": f"urn:spandrel:problem:{error.code}",
        "title": error.title(),
        "status": error.status,
        "detail": error.detail,
        "code": error.code,
    }
    if instance:
        body["instance"] = instance
    return body | error.members
