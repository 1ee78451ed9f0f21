import re
import tomllib

import pytest

from local import aws_build, build
from local.config import ROOT
from local.failures import LocalError


@pytest.fixture
def tree(tmp_path):
    for name in (
        "functions/__init__.py",
        "functions/one/__init__.py",
        "functions/one/handler.py",
        "functions/one/__pycache__/handler.cpython-311.pyc",
        "functions/half_built/__init__.py",
        "layers/shared/spandrel/__init__.py",
        "migrations/0001_x.sql",
    ):
        path = tmp_path / "repo" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(name)
    return tmp_path / "repo"


def test_a_function_is_staged_under_its_import_path(tree, tmp_path):
    assert build.stage_functions(tree, tmp_path / "out") == ["one"]
    staged = sorted(str(path.relative_to(tmp_path / "out")) for path in (tmp_path / "out").rglob("*") if path.is_file())
    assert staged == [
        "one/functions/__init__.py",
        "one/functions/one/__init__.py",
        "one/functions/one/handler.py",
    ]


def test_staging_the_code_again_forgets_what_is_gone(tree, tmp_path):
    build.stage_code(tree, tmp_path / "out")
    (tree / "migrations/0001_x.sql").rename(tree / "migrations/0001_y.sql")
    build.stage_code(tree, tmp_path / "out")
    assert [path.name for path in (tmp_path / "out/migrations").iterdir()] == ["0001_y.sql"]
    assert (tmp_path / "out/spandrel/__init__.py").is_file()


def test_the_digest_sees_content_and_names_but_not_bytecode(tree):
    before = build.digest([tree / "functions"])
    (tree / "functions/one/extra.pyc").write_text("x")
    assert build.digest([tree / "functions"]) == before
    (tree / "functions/one/handler.py").write_text("changed")
    changed = build.digest([tree / "functions"])
    assert changed != before
    (tree / "functions/one/handler.py").rename(tree / "functions/one/other.py")
    assert build.digest([tree / "functions"]) not in {before, changed}


def test_a_failing_tool_is_reported_with_its_own_words(tmp_path):
    with pytest.raises(LocalError, match="no such thing"):
        build._run(["sh", "-c", "echo no such thing >&2; exit 3"], tmp_path)


def test_pruning_keeps_what_metadata_and_licences_need(tmp_path):
    for name in (
        "a/__init__.py",
        "a/types.pyi",
        "a/tests/test_a.py",
        "a-1.dist-info/METADATA",
        "a-1.dist-info/RECORD",
        "a-1.dist-info/licenses/LICENSE",
        "bin/a",
    ):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    aws_build.prune(tmp_path)
    left = sorted(str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*") if path.is_file())
    assert left == ["a-1.dist-info/METADATA", "a-1.dist-info/licenses/LICENSE", "a/__init__.py"]


def _layer() -> dict[str, list[str]]:
    """Every locked package of the layer, with its wheels."""
    locked = {each["name"]: each for each in tomllib.loads((ROOT / "uv.lock").read_text())["package"]}
    found: dict[str, list[str]] = {}
    ahead = [each["name"] for each in locked["spandrel"]["dependencies"]]
    for each in locked["spandrel"]["dependencies"]:
        extras = locked[each["name"]].get("optional-dependencies", {})
        ahead += [more["name"] for extra in each.get("extra", []) for more in extras.get(extra, [])]
    while ahead:
        name = ahead.pop()
        if name not in found and "win32" not in name:
            found[name] = [wheel["url"].rsplit("/", 1)[-1] for wheel in locked[name].get("wheels", [])]
            ahead += [each["name"] for each in locked[name].get("dependencies", []) if "win32" not in str(each)]
    return found


@pytest.mark.parametrize("arch", sorted(aws_build.PLATFORMS))
def test_every_package_of_the_layer_has_a_wheel_for_lambda(arch):
    """Nothing is compiled on the way, so a package without one ends `make build`, for one processor or both."""
    machine, version = {"arm64": "aarch64", "x86_64": "x86_64"}[arch], aws_build.PYTHON.replace(".", "")
    python = rf"(py3|py2\.py3|cp{version}-cp{version}|cp3\d+-abi3)"
    fits = re.compile(rf".+-({python}-none-any|{python}-(none-)?[\w.]*manylinux\w*_{machine}[\w.]*)\.whl")
    packages = _layer()
    assert {"psycopg-binary", "pydantic-core", "tiktoken", "openai"} <= packages.keys()
    assert [name for name, wheels in packages.items() if not any(fits.fullmatch(wheel) for wheel in wheels)] == []
