"""What a step costs on the real model, and where its analysis found safety, as the page says it."""

import json

from real_cost import cost_table
from real_sources import analysis_table

from tests.docs.test_real_page import ANALYSIS, rows_of

COST = {"step_cpu_ratio": 3.1, "step_ratio": 3.3}
FOUND = {
    "setting": {"rounds": 2, "steps": 5, "batch": 4, "tokens": 32, "threads": 1},
    "full float32": {
        "variants": {"plain": {"step_cpu_ratio": 1, "step_ratio": 1}, "zor": COST},
        "extra_in_trained": {"plain": 0.0, "zor": 2.96}, "extra_in_base": {"plain": 0, "zor": 2.96},
    },
    "lora bfloat16": {
        "variants": {"zor": COST}, "extra_in_trained": {"zor": 41.0}, "extra_in_base": {"zor": 0.1},
    },
}  # fmt: skip


def test_memory_is_told_in_what_means_something(tmp_path):
    assert cost_table(tmp_path / "none.json") == ""
    (tmp_path / "cost.json").write_text(json.dumps(FOUND))
    rows = rows_of(cost_table(tmp_path / "cost.json"))
    assert [row for row in rows if "---" not in row[0]] == [
        ["full float32", "plain", "1.00×", "1.00×", "+0.00", "+0.00"],
        ["full float32", "zor", "3.10×", "3.30×", "+2.96", "+2.96"],
        ["lora bfloat16", "zor", "3.10×", "3.30×", "–", "+0.10"],
    ]


def test_the_analysis_says_where_the_robust_modules_and_the_step_lie(tmp_path):
    trend = {"value": -0.5, "low": -0.8, "high": -0.1}
    told = {"modules": 3, "of": 210, "by_role": {"q": [], "k": [1, 2, 3]}}
    more = {
        "mods_rob": {"noise": told},
        "safety_coefficient": {"trend": {"coefficient": trend, "rms": {**trend, "value": 0.4}}},
    }
    (tmp_path / "analysis.json").write_text(json.dumps({**ANALYSIS, **more}))
    text = analysis_table(tmp_path / "analysis.json")
    assert "Mods_Rob by noise: 3 of 210 modules (k 1-3)." in text
    assert "the paper's sum −0.50 [−0.80, −0.10], root mean square +0.40" in text
