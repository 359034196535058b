"""The documented example on real text: both defenses, LoRA, accumulation, chat template."""

import importlib.util
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
DATA = ROOT.parent / "shared" / "data"
EXAMPLE = ROOT / "docs" / "examples" / "real_input.py"
FILES = ("gsm8k_train_2000.jsonl", "advbench.csv")


@pytest.fixture(scope="module")
def example():
    spec = importlib.util.spec_from_file_location("real_input", EXAMPLE)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def figures(example, tmp_path_factory):
    missing = [name for name in FILES if not (DATA / name).is_file()]
    if missing:
        pytest.skip(f"real data absent: {', '.join(missing)} not in {DATA}")
    return example.main(DATA, tmp_path_factory.mktemp("real") / "out")


@pytest.mark.slow
def test_the_users_loss_falls(figures):
    assert figures["user_loss"][-1] < figures["user_loss"][0]


@pytest.mark.slow
def test_the_vector_learns_the_defenders_pairs(figures):
    assert figures["vector_loss"][-1] < figures["vector_loss"][0]
    assert figures["gate"]["harmful_nll"] < figures["gate"]["harmful_nll_off"]


@pytest.mark.slow
def test_the_perturbation_has_its_length_and_climbs_the_harmful_loss(figures, example):
    assert figures["perturbation_norm"] == pytest.approx(example.RHO, rel=1e-4)
    before, after = figures["panacea_harmful_loss"]
    assert after > before


@pytest.mark.slow
def test_with_the_vector_off_the_base_is_what_it_was(figures):
    assert figures["base_unchanged"]


@pytest.mark.slow
def test_every_hook_ran(figures):
    ran = {(row["defense"], row["hook"]) for row in figures["trace"]}
    assert {("security_vectors", "attached"), ("panacea", "after")} <= ran
