from __future__ import annotations

from pathlib import Path

import pytest

from spandrel import migrations
from spandrel.migrations import MigrationError, load

HEADER = "-- compatible-from: 1\n"


def test_migrations_are_read_in_order(tmp_path: Path) -> None:
    (tmp_path / "0002_more.sql").write_text("-- compatible-from: 2\nSELECT 2;")
    (tmp_path / "0001_first.sql").write_text(f"{HEADER}SELECT 1;")
    found = load(tmp_path)
    assert [(each.name, each.number, each.compatible_from) for each in found] == [
        ("0001_first", 1, 1),
        ("0002_more", 2, 2),
    ]


def test_a_change_of_one_character_is_another_hash(tmp_path: Path) -> None:
    path = tmp_path / "0001_first.sql"
    path.write_text(f"{HEADER}SELECT 1;")
    before = load(tmp_path)[0].hash
    path.write_text(f"{HEADER}SELECT 2;")
    assert load(tmp_path)[0].hash != before


@pytest.mark.parametrize("name", ["1_first.sql", "0001-first.sql", "0001_First.sql", "first.sql", "0001_.sql"])
def test_a_bad_name_is_refused(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_text(f"{HEADER}SELECT 1;")
    with pytest.raises(MigrationError, match=r"name it 0001_words\.sql"):
        load(tmp_path)


@pytest.mark.parametrize("head", ["", "-- compatible-from: x\n", "\n-- compatible-from: 1\n", "--compatible-from: 1\n"])
def test_a_missing_header_is_refused(tmp_path: Path, head: str) -> None:
    (tmp_path / "0001_first.sql").write_text(f"{head}SELECT 1;")
    with pytest.raises(MigrationError, match="compatible-from"):
        load(tmp_path)


@pytest.mark.parametrize("numbers", [(2,), (1, 3), (1, 1)])
def test_a_gap_or_a_number_given_twice_is_refused(tmp_path: Path, numbers: tuple[int, ...]) -> None:
    for place, number in enumerate(numbers):
        (tmp_path / f"{number:04d}_step{place}.sql").write_text(f"{HEADER}SELECT 1;")
    with pytest.raises(MigrationError, match="expected number"):
        load(tmp_path)


def test_other_files_are_left_alone(tmp_path: Path) -> None:
    (tmp_path / "README.md").write_text("Migrations.")
    assert load(tmp_path) == []


def test_a_layer_without_migrations_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(migrations, "__file__", str(tmp_path / "a" / "b" / "c" / "d" / "migrations.py"))
    with pytest.raises(MigrationError, match="build the layer anew"):
        load()


def test_in_the_layer_they_lie_beside_the_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "python" / "migrations").mkdir(parents=True)
    monkeypatch.setattr(migrations, "__file__", str(tmp_path / "python" / "spandrel" / "migrations.py"))
    assert migrations.default_directory() == tmp_path / "python" / "migrations"
