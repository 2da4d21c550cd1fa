from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType

import pytest

EXAMPLE = Path(__file__).resolve().parents[3] / "examples" / "site"


@pytest.fixture(scope="module")
def make() -> ModuleType:
    spec = importlib.util.spec_from_file_location("example_site_make", EXAMPLE / "make.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_committed_measurements_are_those_of_the_generator(make: ModuleType) -> None:
    for path, text in make.files().items():
        assert (EXAMPLE / path).read_text(encoding="utf-8") == text, f"{path}: run python examples/site/make.py"


def test_the_trace_has_its_stated_statistics_and_is_small(make: ModuleType) -> None:
    rows = (EXAMPLE / "trace.csv").read_text(encoding="utf-8").splitlines()[1:]
    prompts = sorted(int(row.split(",")[1]) for row in rows)
    answers = sorted(int(row.split(",")[2]) for row in rows)
    # The integral of the rate: base · 3600 s + burst · sigma · √(2π).
    expected = make.BASE_RPS * 3600 + make.BURST_RPS * make.BURST_SIGMA_S * 2.5066
    assert len(rows) == pytest.approx(expected, rel=0.03)
    assert prompts[len(rows) // 2] == pytest.approx(make.PROMPT_TOKENS[0], rel=0.05)
    assert answers[len(rows) // 2] == pytest.approx(make.ANSWER_TOKENS[0], rel=0.05)
    assert sum(prompts) / len(rows) == pytest.approx(make.MEAN_PROMPT_TOKENS, rel=0.01)
    assert sum(answers) / len(rows) == pytest.approx(make.MEAN_ANSWER_TOKENS, rel=0.01)
    assert (EXAMPLE / "trace.csv").stat().st_size <= 200_000
