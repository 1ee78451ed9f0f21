"""Request bodies of /v1/templates. What is answered are the domain's own structs."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import Path, Query
from pydantic import AfterValidator, Field

from functions.api.schemas import Body, storable_text
from spandrel.templates.models import Kind, Visibility

NAME_PATTERN = r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,99}$"
LABEL_PATTERN = r"^[a-z][a-z0-9_-]{0,49}$"


def _storable(value: str) -> str:
    storable_text(value)
    return value


# Not held to the size here: the source's own fault says more, with its place.
Source = Annotated[str, Field(max_length=1_000_000, description="A .prompt file: YAML front matter and body.")]
TemplateName = Annotated[str, Field(pattern=NAME_PATTERN)]
_STORABLE: dict[str, Any] = {"pattern": r"^[^\u0000]*$"}
Description = Annotated[str, Field(max_length=2000, json_schema_extra=_STORABLE), AfterValidator(_storable)]
LabelName = Annotated[str, Path(pattern=LABEL_PATTERN)]
_REFERENCE = r"^([0-9]{1,9}|[a-z][a-z0-9_-]{0,49})$"
VersionPath = Annotated[str, Path(pattern=_REFERENCE, description="A version's number, or a label.")]
VersionQuery = Annotated[str, Query(pattern=_REFERENCE, description="A version's number, or a label.")]


class CreateTemplate(Body):
    """`name`: unique among your templates of its kind. A partial is what others include as `{{> name}}`."""

    name: TemplateName
    source: Source
    kind: Kind = "prompt"
    description: Description = ""
    visibility: Visibility = "private"


class UpdateTemplate(Body):
    """What is left out stays as it is."""

    description: Description | None = None
    visibility: Visibility | None = None


class SaveVersion(Body):
    source: Source


class SetLabel(Body):
    version: Annotated[int, Field(ge=1, le=2**31 - 1)]


class ValidateTemplate(Body):
    """`name`: of the partial that this would be, so that it cannot include itself."""

    source: Source
    kind: Kind = "prompt"
    name: TemplateName | None = None
