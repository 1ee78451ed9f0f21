"""The bucket of documents. boto3 is imported with the first use."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal
from urllib.parse import quote

from spandrel.errors import DocumentTooLargeError, NotFoundError, StorageUnavailableError
from spandrel.knowledge.models import Link, UploadForm

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

    from spandrel.settings import StorageSettings

DELETE_BATCH = 1000  # keys in one DeleteObjects


class S3ObjectStore:
    """Implements `ObjectStore`."""

    def __init__(self, settings: StorageSettings) -> None:
        self._settings = settings

    @cached_property
    def _client(self) -> S3Client:
        import boto3
        from botocore.config import Config

        # Links name the bucket's region. By default they name S3 as a whole, which redirects in a new bucket's first
        # hours, and no browser follows that with a form. An emulator has no such names.
        style: Literal["auto", "virtual"] = "auto" if self._settings.endpoint_url else "virtual"
        config = Config(signature_version="s3v4", retries={"mode": "standard"}, s3={"addressing_style": style})
        return boto3.client("s3", config=config)

    def presign_upload(self, key: str, content_type: str | None) -> UploadForm:
        """A form that accepts one file of at most the deployment's size, under this key and type alone."""
        seconds, limit = self._settings.link_seconds, self._settings.max_upload_bytes
        fields = {"Content-Type": content_type} if content_type else {}
        form = self._client.generate_presigned_post(
            self._settings.bucket,
            key,
            Fields=dict(fields),
            Conditions=[["content-length-range", 1, limit], *({name: value} for name, value in fields.items())],
            ExpiresIn=seconds,
        )
        return UploadForm(form["url"], form["fields"], datetime.now(UTC) + timedelta(seconds=seconds), limit)

    def presign_download(self, key: str, name: str) -> Link:
        """A link that saves the object under its own name."""
        seconds = self._settings.link_seconds
        url = self._client.generate_presigned_url(
            "get_object",
            Params={
                "Bucket": self._settings.bucket,
                "Key": key,
                "ResponseContentDisposition": f"attachment; filename*=UTF-8''{quote(name, safe='')}",
            },
            ExpiresIn=seconds,
        )
        return Link(url, datetime.now(UTC) + timedelta(seconds=seconds))

    def read(self, key: str, version_id: str | None) -> bytes:
        """The object's bytes. Raises `NotFoundError`, `DocumentTooLargeError`, `StorageUnavailableError`."""
        from botocore.exceptions import BotoCoreError, ClientError

        version: dict[str, Any] = {"VersionId": version_id} if version_id else {}
        limit = self._settings.max_upload_bytes
        try:
            answer = self._client.get_object(Bucket=self._settings.bucket, Key=key, **version)
            if answer["ContentLength"] > limit:
                raise DocumentTooLargeError(
                    f"The document is larger than {limit // 2**20} MiB. Split it and upload the parts."
                )
            return answer["Body"].read()
        except ClientError as error:
            if error.response["Error"]["Code"] in ("NoSuchKey", "NoSuchVersion", "404"):
                raise NotFoundError("The uploaded object is gone from the bucket.") from error
            raise StorageUnavailableError from error
        except BotoCoreError as error:
            raise StorageUnavailableError from error

    def delete(self, keys: Sequence[str]) -> None:
        """Removes every version of each key. Keys that are not there are no error."""
        from botocore.exceptions import BotoCoreError, ClientError

        try:
            versions = [version for key in keys for version in self._versions(key)]
            for begin in range(0, len(versions), DELETE_BATCH):
                answer = self._client.delete_objects(
                    Bucket=self._settings.bucket,
                    Delete={"Objects": versions[begin : begin + DELETE_BATCH], "Quiet": True},
                )
                if answer.get("Errors"):
                    raise StorageUnavailableError
        except (BotoCoreError, ClientError) as error:
            raise StorageUnavailableError from error

    def keys(self, prefix: str, after: str, limit: int) -> list[str]:
        """At most `limit` (1000) keys in order of their bytes. Raises `StorageUnavailableError`."""
        from botocore.exceptions import BotoCoreError, ClientError

        try:
            answer = self._client.list_objects_v2(
                Bucket=self._settings.bucket, Prefix=prefix, StartAfter=after, MaxKeys=limit
            )
        except (BotoCoreError, ClientError) as error:
            raise StorageUnavailableError from error
        return [item["Key"] for item in answer.get("Contents", [])]

    def _versions(self, key: str) -> list[Any]:
        found: list[Any] = []
        for page in self._client.get_paginator("list_object_versions").paginate(
            Bucket=self._settings.bucket, Prefix=key
        ):
            for item in (*page.get("Versions", []), *page.get("DeleteMarkers", [])):
                if item["Key"] == key:
                    found.append({"Key": key, "VersionId": item["VersionId"]})
        return found
