"""CSV and TSV: one row, one block."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from itertools import islice

from spandrel.knowledge.ingest.parse.builder import Builder, row
from spandrel.knowledge.ingest.parse.models import ParsedDocument
from spandrel.knowledge.ingest.parse.text import decode

_DELIMITERS = ",;\t|"
_SAMPLE_ROWS = 50
_SAMPLE_CHARACTERS = 65536


def _records(lines: list[str], delimiter: str) -> Iterator[list[str]]:
    """Non-empty records; after a fault of quoting (a field that swallows the file) the lines are split plainly."""
    reader = csv.reader(lines, delimiter=delimiter)
    done = 0
    try:
        for record in reader:
            done = reader.line_num
            if any(cell.strip() for cell in record):
                yield record
    except csv.Error:
        for line in lines[done:]:
            if line.strip():
                yield line.strip().split(delimiter)


def _delimiter(lines: list[str], preferred: str) -> str:
    """The delimiter that cuts a sample into the most even rows of more than one cell."""
    sample, length = [], 0
    for line in lines[: _SAMPLE_ROWS * 2]:
        length += len(line)
        if length > _SAMPLE_CHARACTERS:
            break
        sample.append(line)

    def evenness(delimiter: str) -> tuple[float, bool, int]:
        widths = [len(record) for record in islice(_records(sample, delimiter), _SAMPLE_ROWS)]
        usual = max(set(widths), key=widths.count) if widths else 1
        even = sum(width == usual for width in widths) / max(1, len(widths))
        return (even if usual > 1 else 0.0, delimiter == preferred, usual)

    return max(_DELIMITERS, key=evenness)


def _is_header(first: list[str], rest: list[list[str]]) -> bool:
    """A header has different names, none of them empty or a number, and rows under it."""
    names = [cell.strip().lower() for cell in first]
    if not rest or len(set(names)) < len(names) or not all(names):
        return False
    return not any(_numeric(name) for name in names) and max(map(len, names)) <= 80


def _numeric(cell: str) -> bool:
    return any(letter.isdigit() for letter in cell) and not any(letter.isalpha() for letter in cell)


def parse(data: bytes, content_type: str = "text/csv") -> ParsedDocument:
    """One `table_row` block a record. Where the first record names the columns, each row's text names them too."""
    lines = decode(data).split("\n")
    preferred = "\t" if content_type == "text/tab-separated-values" else ","
    records = list(_records([line + "\n" for line in lines], _delimiter(lines, preferred)))
    builder = Builder()
    if not records:
        return builder.document(content_type)
    headed = _is_header(records[0], records[1 : 1 + _SAMPLE_ROWS])
    header = [" ".join(cell.split()) for cell in records[0]] if headed else None
    for record in records[1:] if headed else records:
        builder.add("table_row", row(header, record))
    return builder.document(content_type)
