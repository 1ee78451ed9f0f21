"""Why a document cannot be ingested."""

from __future__ import annotations

from spandrel.errors.base import SpandrelError


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
