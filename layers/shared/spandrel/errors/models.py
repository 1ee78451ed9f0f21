"""Why a language model gave no answer."""

from __future__ import annotations

from typing import Any, ClassVar

from spandrel.errors.base import SpandrelError


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
