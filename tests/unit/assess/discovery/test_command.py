"""What `ferry assess` takes: a site or a folder, one of the two."""

from __future__ import annotations

from pathlib import Path

import pytest
from typer.testing import CliRunner

from ferry.cli import app
from tests.unit.assess.discovery import inputs
from tests.unit.assess.discovery.conftest import Tree


@pytest.mark.parametrize(
    "arguments", [(), ("site.yaml", "--discover", "."), ("site.yaml", "--site", "new.yaml"), ("--site", "new.yaml")]
)
def test_anything_but_a_site_or_a_folder_is_a_usage_error(arguments: tuple[str, ...]) -> None:
    assert CliRunner().invoke(app, ["assess", *arguments]).exit_code == 2


def test_a_folder_without_any_input_says_so_and_what_has_to_be_filled_in(tree: Tree) -> None:
    root = tree({"[bold]note[/bold].txt": "hello\n"})
    said = CliRunner().invoke(app, ["assess", "--discover", str(root)])
    assert said.exit_code == 0
    assert "Nothing of what Ferry reads was found." in said.output
    assert "[bold]note[/bold].txt" in said.output
    assert "serving[0].model" in said.output
    assert "costs.currency" in said.output


def test_of_many_files_with_one_reason_the_first_ones_are_named(tree: Tree) -> None:
    said = CliRunner().invoke(app, ["assess", "--discover", str(tree({f"{n:02}.txt": "hello" for n in range(40)}))])
    assert "09.txt" in said.output
    assert "10.txt" not in said.output
    assert "and 30 more" in said.output


def test_the_proposal_is_printed_as_it_is_whatever_the_width(tree: Tree, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "40")
    name = "a" * 100
    said = CliRunner().invoke(app, ["assess", "--discover", str(tree({name: inputs.gpu_csv(0)}))])
    assert f"    - {name}\n" in said.output


def test_a_proposal_is_written_only_where_nothing_is(tree: Tree, tmp_path: Path) -> None:
    root, target = tree({"a.csv": inputs.gpu_csv(0)}), tmp_path / "site.yaml"
    assert CliRunner().invoke(app, ["assess", "--discover", str(root), "--site", str(target)]).exit_code == 0
    assert "accelerator: NVIDIA H100 80GB HBM3" in target.read_text()
    target.write_text(inputs.SITE)
    output = str(tmp_path / "assessment.yaml")
    CliRunner().invoke(app, ["assess", "--discover", str(root), "--site", str(target), "-o", output])
    assert target.read_text() == inputs.SITE
