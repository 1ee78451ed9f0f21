"""Secrets sealed at rest: by KMS with an encryption context, or on one machine by a key of its own."""

from __future__ import annotations

import base64
import json
import os
from collections.abc import Mapping
from functools import cached_property
from typing import TYPE_CHECKING

from spandrel.errors import SecretsUnavailableError, SecretUnreadableError

if TYPE_CHECKING:
    from mypy_boto3_kms import KMSClient

NONCE_BYTES = 12
_VERSION = b"\x01"  # AES-256-GCM with the context as additional data


class KmsSecretBox:
    """Implements `SecretBox`. KMS takes 4 KiB at most, and logs the context in CloudTrail but not what it seals."""

    def __init__(self, key_id: str) -> None:
        self._key_id = key_id

    @cached_property
    def _client(self) -> KMSClient:
        import boto3
        from botocore.config import Config

        config = Config(connect_timeout=3, read_timeout=5, retries={"mode": "standard", "max_attempts": 3})
        return boto3.client("kms", config=config)

    def seal(self, secret: bytes, context: Mapping[str, str]) -> bytes:
        from botocore.exceptions import BotoCoreError, ClientError

        try:
            return self._client.encrypt(KeyId=self._key_id, Plaintext=secret, EncryptionContext=context)[
                "CiphertextBlob"
            ]
        except (BotoCoreError, ClientError):
            raise SecretsUnavailableError from None  # the cause could carry what was to be sealed

    def open(self, sealed: bytes, context: Mapping[str, str]) -> bytes:
        from botocore.exceptions import BotoCoreError, ClientError

        if not sealed:
            raise SecretUnreadableError
        try:
            return self._client.decrypt(KeyId=self._key_id, CiphertextBlob=sealed, EncryptionContext=context)[
                "Plaintext"
            ]
        except ClientError as error:
            if error.response["Error"]["Code"] in ("InvalidCiphertextException", "IncorrectKeyException"):
                raise SecretUnreadableError from None
            raise SecretsUnavailableError from None
        except BotoCoreError:
            raise SecretsUnavailableError from None


class LocalSecretBox:
    """Implements `SecretBox`. `key`: base64 of 32 bytes."""

    def __init__(self, key: str) -> None:
        try:
            self._key = base64.b64decode(key, validate=True)
        except ValueError:
            self._key = b""
        if len(self._key) != 32:
            raise SecretsUnavailableError("SPANDREL_SECRET_KEY must be 32 bytes in base64.") from None

    def seal(self, secret: bytes, context: Mapping[str, str]) -> bytes:
        from cryptography.hazmat.primitives.ciphers.aead import AESGCM

        nonce = os.urandom(NONCE_BYTES)
        return _VERSION + nonce + AESGCM(self._key).encrypt(nonce, secret, _bytes(context))

    def open(self, sealed: bytes, context: Mapping[str, str]) -> bytes:
        from cryptography.exceptions import InvalidTag
        from cryptography.hazmat.primitives.ciphers.aead import AESGCM

        version, nonce, hidden = sealed[:1], sealed[1 : 1 + NONCE_BYTES], sealed[1 + NONCE_BYTES :]
        if version != _VERSION or len(nonce) != NONCE_BYTES:
            raise SecretUnreadableError
        try:
            return AESGCM(self._key).decrypt(nonce, hidden, _bytes(context))
        except (InvalidTag, ValueError):
            raise SecretUnreadableError from None


def _bytes(context: Mapping[str, str]) -> bytes:
    return json.dumps(dict(context), sort_keys=True, separators=(",", ":")).encode()
