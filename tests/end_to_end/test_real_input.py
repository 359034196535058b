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
def test_both_defenses_do_their_work_on_real_text(figures, example):
    # One test: the run is shared, and workers that each take a part would each run it.
    assert figures["user_loss"][-1] < figures["user_loss"][0]
    assert figures["vector_loss"][-1] < figures["vector_loss"][0], "the vector learns the pairs"
    assert figures["gate"]["harmful_nll"] < figures["gate"]["harmful_nll_off"]
    assert figures["perturbation_norm"] == pytest.approx(example.RHO, rel=1e-4)
    before, after = figures["panacea_harmful_loss"]
    assert after > before, "the perturbation climbs the harmful loss"
    assert figures["base_unchanged"], "with the vector off the base is what it was"
    ran = {(row["defense"], row["hook"]) for row in figures["trace"]}
    assert {("security_vectors", "attached"), ("panacea", "after")} <= ran
