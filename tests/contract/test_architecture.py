"""The rules of the house that a machine can hold: who imports whom, where SQL and the environment are, how long."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
LAYER = ROOT / "layers" / "shared"
FUNCTIONS = ROOT / "functions"
SOURCES = sorted([*LAYER.rglob("*.py"), *FUNCTIONS.rglob("*.py")])
FEATURES = ("knowledge", "events", "integrations", "templates", "prompts", "sessions", "chat", "usage", "health")
VENDORS = {
    "boto3", "botocore", "openai", "mcp", "mcp_types", "httpx2", "httpcore2", "cryptography", "mypy_boto3_s3",
    "mypy_boto3_sqs",
}  # fmt: skip
MODULE_LINES = 250
FUNCTION_LINES = 45


def module_name(path: Path) -> str:
    base = LAYER if path.is_relative_to(LAYER) else ROOT
    return ".".join(path.relative_to(base).with_suffix("").parts).removesuffix(".__init__")


def runtime_imports(tree: ast.AST) -> Iterator[str]:
    """Every module that is imported, in functions too; what only type checkers see is left out."""
    skipped = {
        id(inner)
        for node in ast.walk(tree)
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test)
        for statement in node.body
        for inner in ast.walk(statement)
    }
    for node in ast.walk(tree):
        if id(node) in skipped:
            continue
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports are absolute"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


TREES = {path: ast.parse(path.read_text(encoding="utf-8")) for path in SOURCES}
IMPORTS = {module_name(path): set(runtime_imports(tree)) for path, tree in TREES.items()}


def imports_of(prefix: str) -> set[tuple[str, str]]:
    """(importer, imported) of all modules below `prefix`."""
    return {
        (module, imported)
        for module, found in IMPORTS.items()
        if module == prefix or module.startswith(f"{prefix}.")
        for imported in found
    }


def below(name: str, *prefixes: str) -> bool:
    return any(name == prefix or name.startswith(f"{prefix}.") for prefix in prefixes)


def test_the_rules_have_something_to_hold() -> None:
    assert len(IMPORTS) > 40
    assert ("spandrel.adapters.s3", "boto3") in imports_of("spandrel.adapters")


def test_the_layer_imports_no_function() -> None:
    assert [pair for pair in imports_of("spandrel") if below(pair[1], "functions", "cli", "local", "tests")] == []


def test_functions_import_no_adapter_and_no_vendor() -> None:
    faults = [pair for pair in imports_of("functions") if below(pair[1], "spandrel.adapters", *VENDORS)]
    assert faults == []


def test_functions_import_no_other_function() -> None:
    for module, imported in imports_of("functions"):
        if below(imported, "functions"):
            assert imported.split(".")[1] == module.split(".")[1], (module, imported)


def test_only_wiring_knows_the_adapters() -> None:
    outside = {
        module
        for module, imported in imports_of("spandrel")
        if below(imported, "spandrel.adapters") and not below(module, "spandrel.adapters")
    }
    assert outside == {"spandrel.wiring.providers", "spandrel.wiring.administrator", "spandrel.wiring.outbound"}


def test_only_functions_know_wiring() -> None:
    inside = {module for module, imported in imports_of("spandrel") if below(imported, "spandrel.wiring")}
    assert {module for module in inside if not below(module, "spandrel.wiring")} == set()


def test_only_adapters_import_vendors() -> None:
    outside = {
        (module, imported)
        for module, imported in imports_of("spandrel")
        if below(imported, *VENDORS) and not below(module, "spandrel.adapters")
    }
    assert outside == set()


def test_what_all_features_share_knows_none_of_them() -> None:
    features = tuple(f"spandrel.{name}" for name in FEATURES)
    faults = [
        (module, imported)
        for module, imported in imports_of("spandrel")
        if below(imported, *features) and not below(module, *features, "spandrel.wiring", "spandrel.adapters")
    ]
    assert faults == []


def test_adapters_know_models_and_ports_of_a_feature_and_nothing_else() -> None:
    for module, imported in imports_of("spandrel.adapters"):
        if below(imported, *(f"spandrel.{name}" for name in FEATURES)):
            assert imported.split(".")[2] in ("models", "ports"), module


def test_ports_and_models_stand_at_the_bottom() -> None:
    for feature in ("knowledge", "chat"):
        for module in (f"spandrel.{feature}.ports", f"spandrel.{feature}.models"):
            for imported in IMPORTS[module]:
                if below(imported, "spandrel"):
                    bottom = (f"spandrel.{feature}.models", "spandrel.vectors", "spandrel.errors")
                    assert below(imported, *bottom), (module, imported)


def test_the_rules_of_what_goes_out_stand_alone() -> None:
    """Features vet what a user names, adapters vet what they dial: by the same rules, which know neither."""
    for module, imported in imports_of("spandrel.outbound"):
        if below(imported, "spandrel"):
            assert below(imported, "spandrel.outbound", "spandrel.errors"), (module, imported)


def test_only_settings_reads_the_environment() -> None:
    allowed = {
        "spandrel.settings",
        "spandrel.adapters.signature",  # credentials that rotate
        "spandrel.knowledge.ingest.parse.isolate",  # what a child process may see of it
    }
    found = {
        module_name(path)
        for path, tree in TREES.items()
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute) and node.attr in ("environ", "getenv") and ast.unparse(node.value) == "os"
    }
    assert found <= allowed
    assert "spandrel.settings" in found


def test_no_sql_in_functions() -> None:
    statement = re.compile(r"^\s*(SELECT|INSERT|UPDATE|DELETE|WITH)\s", re.IGNORECASE)
    for path in FUNCTIONS.rglob("*.py"):
        for node in ast.walk(TREES[path]):
            if isinstance(node, ast.Constant) and isinstance(node.value, str | bytes):
                text = node.value.decode() if isinstance(node.value, bytes) else node.value
                assert not statement.match(text), (path.name, node.lineno)


def test_no_sql_is_put_together_from_pieces() -> None:
    """What goes to `execute` or `run` is a named statement or a literal."""
    for path, tree in TREES.items():
        for node in ast.walk(tree):
            if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.args):
                continue
            if node.func.attr in ("execute", "run", "copy"):
                assert not isinstance(node.args[0], ast.JoinedStr | ast.BinOp), (path, node.lineno)


@pytest.mark.parametrize("path", SOURCES, ids=module_name)
def test_modules_and_functions_stay_short(path: Path) -> None:
    assert len(path.read_text(encoding="utf-8").splitlines()) <= MODULE_LINES
    for node in ast.walk(TREES[path]):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.end_lineno:
            assert node.end_lineno - node.lineno + 1 <= FUNCTION_LINES, node.name


@pytest.mark.parametrize("path", [path for path in SOURCES if path.name != "__init__.py"], ids=module_name)
def test_modules_say_what_they_are(path: Path) -> None:
    assert ast.get_docstring(TREES[path])


def test_handlers_are_thin() -> None:
    for path in FUNCTIONS.glob("*/handler.py"):
        assert len(path.read_text().splitlines()) <= 60, path
