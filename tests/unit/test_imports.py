"""Imports point one way. The layers are the design's; a module is known by its first two names."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
LAYERS = ("components", "ferry", "stacks", "templates", "policies")
ALLOWED = {
    "__main__": {"components", "templates", "stacks"},
    "components": {"templates", "stacks"},
    "templates": {"stacks"},
    "stacks": set(),
    "ferry": {"templates", "stacks"},
    "policies": {"ferry"},
}
SHARED = {
    "artefacts", "catalog", "cost", "errors", "ledger", "node_bundle", "project", "signing_key", "simulation", "traces",
    "traffic",
}  # fmt: skip
WORKFLOWS = {"cli", "rehearsal", "drills"}
ENDS_ITSELF = {"child.py", "copies.py"}
"""Of the rehearsal: processes of their own, which must not run their parent's clean-up."""
HEAVY = {"pulumi", "pulumi_aws", "boto3", "botocore", "moto", "numpy"}


def modules() -> list[Path]:
    found = [ROOT / "__main__.py"]
    for layer in LAYERS:
        found += sorted((ROOT / layer).rglob("*.py"))
    return found


def imported(path: Path, *, top_level_only: bool = False) -> set[str]:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    nodes = tree.body if top_level_only else list(ast.walk(tree))
    names: set[str] = set()
    for node in nodes:
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and node.level == 0:
            names |= {f"{node.module}.{alias.name}" for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            pytest.fail(f"{path}: relative import; name the package in full")
    return names


def layer_of(path: Path) -> str:
    return path.relative_to(ROOT).parts[0].removesuffix(".py")


@pytest.mark.parametrize("path", modules(), ids=lambda path: str(path.relative_to(ROOT)))
def test_a_module_imports_only_layers_below_its_own(path: Path) -> None:
    layer = layer_of(path)
    reached = {name.split(".")[0] for name in imported(path)} & {*LAYERS}
    assert reached - {layer} <= ALLOWED[layer]


@pytest.mark.parametrize("path", sorted((ROOT / "ferry").rglob("*.py")), ids=lambda path: str(path.relative_to(ROOT)))
def test_a_verb_does_not_import_another_verb(path: Path) -> None:
    own = path.relative_to(ROOT / "ferry").parts[0].removesuffix(".py")
    verbs = (
        {path.name.removesuffix(".py") for path in (ROOT / "ferry").iterdir()} - SHARED - {"__init__", "__pycache__"}
    )
    reached = {name.split(".")[1] for name in imported(path) if name.startswith("ferry.")} & verbs
    if own not in WORKFLOWS:
        assert reached <= {own}


def test_policies_import_only_compliance_of_ferry() -> None:
    for path in sorted((ROOT / "policies").rglob("*.py")):
        reached = {".".join(name.split(".")[:2]) for name in imported(path) if name.startswith("ferry")}
        assert reached <= {"ferry.compliance"}


@pytest.mark.parametrize("layer", ["stacks", "templates"])
def test_settings_and_templates_know_nothing_of_pulumi(layer: str) -> None:
    for path in sorted((ROOT / layer).rglob("*.py")):
        assert not {name.split(".")[0] for name in imported(path)} & HEAVY


def test_the_command_line_imports_nothing_heavy_before_a_command_runs() -> None:
    ferry = ROOT / "ferry"
    for module in (*sorted((ferry / "cli").rglob("*.py")), ferry / "errors.py", ferry / "__init__.py"):
        reached = {name.split(".")[0] for name in imported(module, top_level_only=True)}
        assert not reached & (HEAVY | {"pydantic", "rich", "yaml", "jinja2"})


def test_the_program_is_at_most_forty_lines() -> None:
    assert len((ROOT / "__main__.py").read_text(encoding="utf-8").splitlines()) <= 40


@pytest.mark.parametrize("path", sorted((ROOT / "ferry").rglob("*.py")), ids=lambda path: str(path.relative_to(ROOT)))
def test_only_the_command_line_prints_or_exits(path: Path) -> None:
    if path.parent == ROOT / "ferry" / "cli":
        return
    allowed = {"os._exit"} if path.name in ENDS_ITSELF else set()
    calls = [node.func for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))) if isinstance(node, ast.Call)]
    names = {ast.unparse(call) for call in calls}
    assert not names & {"print", "exit", "sys.exit", "quit", "os._exit", "sys.stdout.write"} - allowed
