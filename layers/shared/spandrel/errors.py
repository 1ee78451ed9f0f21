"""Every error that a caller can see, typed. The docstring is the message; `code` is the contract.

Message text is for people and may change; `code` and `status` never do. `problem()` is the one place that maps an
error to an RFC 9457 problem details object.
"""

from __future__ import annotations

from typing import Any, ClassVar


class SpandrelError(Exception):
    """Something went wrong on our side. Try again; if it persists, look the request id up in the logs."""

    code: ClassVar[str] = "internal_error"
    status: ClassVar[int] = 500

    def __init__(self, detail: str | None = None, **members: Any) -> None:
        super().__init__(detail or self.title())
        self.detail = detail or self.title()
        self.members = members

    @classmethod
    def title(cls) -> str:
        return (cls.__doc__ or cls.__name__).strip().split("\n\n")[0].replace("\n    ", " ")


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


class ModelError(SpandrelError):
    """The language model gave no answer. Try again; if it persists, look the request id up in the logs."""

    code = "model_error"
    status = 502
    retryable: ClassVar[bool] = False

    def __init__(self, detail: str | None = None, *, retry_after: float | None = None, **members: Any) -> None:
        super().__init__(detail, **members)
        self.retry_after = retry_after


class ModelUnavailableError(ModelError):
    """The language model cannot be reached or does not answer in time. Try again shortly."""

    code = "model_unavailable"
    status = 503
    retryable = True


class ModelRateLimitedError(ModelError):
    """The language model's provider is over its limits. Try again a little later."""

    code = "model_rate_limited"
    status = 429
    retryable = True


class ModelRejectedError(ModelError):
    """The language model's provider refused the request. Check the model's name, the API key and its quota."""

    code = "model_rejected"


class ModelConfigError(ModelError):
    """The model's configuration has an entry that is unknown or out of range."""

    code = "model_config_invalid"
    status = 422


class ContextTooLongError(ModelError):
    """The conversation is longer than the model can read. Start a new session, or choose a model that reads more."""

    code = "context_too_long"
    status = 422


class ModelAnswerInvalidError(ModelError):
    """The language model sent an answer that cannot be used: broken off, empty or malformed. Try again."""

    code = "model_answer_invalid"
    retryable = True


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


class DocumentError(SpandrelError):
    """The document cannot be ingested. Its owner sees this code and sentence."""

    code = "document_unreadable"
    status = 422


class DocumentEmptyError(DocumentError):
    """No text was found in the document. If it is a scan, run text recognition (OCR) on it and upload the result."""

    code = "no_text"


class DocumentTooLargeError(DocumentError):
    """The document is larger than this deployment accepts. Split it and upload the parts."""

    code = "too_large"


class DocumentTypeMismatchError(DocumentError):
    """The file's content is not what its name says it is. Upload it with the right extension."""

    code = "type_mismatch"


class DocumentTypeUnsupportedError(DocumentError):
    """This file type is not supported. Upload text, Markdown, HTML, PDF, DOCX, CSV or JSON."""

    code = "type_unsupported"


class DocumentEncryptedError(DocumentError):
    """The document is protected by a password. Remove the protection and upload it again."""

    code = "encrypted"


class DocumentDamagedError(DocumentError):
    """The file is damaged or incomplete and cannot be read. Open it, save it anew and upload it again."""

    code = "damaged"


class DocumentLimitError(DocumentError):
    """Reading the document took more memory or time than is allowed. Split it or simplify it and upload it again."""

    code = "resource_limit"


class DocumentWorkerLostError(DocumentError):
    """Processing stopped unexpectedly several times. Retry; if it fails again, split the document."""

    code = "worker_lost"


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
