"""Write the generated parts of README and cards: the table of defenses, the measured figures.

Usage: ``python docs/build.py [--check]``; with ``--check`` nothing is written and a part that is
out of date is an error.
"""

import argparse
import ast
import json
import re
import sys
import textwrap
from pathlib import Path

from architectures import architectures_page
from choosing import by_moment, by_outcome, which_one
from claims_page import claims_page
from data_risk_page import data_risk_parts, real_parts
from engines_page import engines_table
from faults import faults_table
from joined import joined
from judge_tables import agreement_table
from real_page import SECOND, card_part, column, evidence, page_parts, readme_part, which_part
from scaling_page import scaling_parts
from simple_baselines import simple_parts
from tables import (
    controls_table,
    held_back_table,
    settings_line,
    settings_table,
    worst_case_tables,
)

from holdfast.claims.judge import load_judged
from holdfast.comparisons.scenes import Scene, scenes
from holdfast.defenses import built_in
from holdfast.results.records import BEFORE, PLAIN, Arm
from holdfast.results.result import RunResult
from holdfast.results.words import arm_name, shown

ROOT = Path(__file__).resolve().parent.parent
DEMO = ROOT / "results" / "demo.json"
BENIGN = ROOT / "results" / "benign_defenses.json"
BENCH = ROOT / "results" / "bench" / "result.json"
LATER = (ROOT / "results" / "safe_lora", ROOT / "results" / "later")
"""Parts of the bench that were run after the whole."""
SIMPLE = ROOT / "results" / "later" / "baselines.json"
JUDGE = ROOT / "results" / "refusal_judge.json"
CLAIMS = ROOT / "results" / "claims"
REAL = ROOT / "results" / "real"
CONTROLS = ROOT / "results" / "benign_obedience_fresh_10_seeds.json"
SCALING = ROOT / "results" / "scaling.json"
ARCHITECTURES = ROOT / "results" / "architectures.json"
ENGINES = ROOT / "results" / "engines.json"
DATA_RISK = ROOT / "results" / "data_risk" / "summary.json"
DATA_RISK_REAL = DATA_RISK.with_name("real.json")
FAULTS = "0010-faults-mended-as-kinds.md"
SOURCES = {
    "demo": ("`holdfast demo`", DEMO.name),
    "bench": ("`holdfast bench benign`", BENIGN.name),
}
"""By the command of a result: what ran, and its file."""
FIGURES = (
    ("hs", "HS"), ("hs_content", "of it right"), ("over_refusal", "over-refusal"),
    ("fa", "FA"), ("usefulness", "usefulness"),
)  # fmt: skip


def defenses_table() -> str:
    """Return the table of defenses, from their cards."""
    rows = ["| defense | stage | what it does | cost | paper |", "|---|---|---|---|---|"]
    for name, kind in built_in().items():
        card, path = kind.card, f"src/holdfast/defenses/{name}/card.md"
        rows.append(
            f"| [`{name}`]({path}) | {card.stage} | {card.summary} | {card.cost} | {card.paper} |"
        )
    return "\n".join(rows)


def rooms_table(page: str) -> str:
    """Return the rooms in the order of the map's picture, with their docstrings' first lines."""
    rows = ["| room | what it is for |", "|---|---|"]
    for name in re.findall(r"[a-z]+", page.split("```")[1]):
        folder = ROOT / "src" / "holdfast" / name
        file = folder / "__init__.py" if folder.is_dir() else folder.with_suffix(".py")
        if file.is_file():  # All but the package's own names.
            said = (ast.get_docstring(ast.parse(file.read_text())) or "").partition("\n")[0]
            rows.append(f"| `{name}{'/' if folder.is_dir() else '.py'}` | {said} |")
    return "\n".join(rows)


def exceptions_tree() -> str:
    """Return the tree of exceptions, as the module that holds them draws it."""
    file = ROOT / "src" / "holdfast" / "errors.py"
    drawn = (ast.get_docstring(ast.parse(file.read_text())) or "").partition("::\n")[2]
    tree = drawn.strip("\n").partition("\n\n")[0]
    return f"```text\n{textwrap.dedent(tree)}\n```"


def measured_table(result: RunResult, name: str | None = None) -> str:
    """Return means with 95 % intervals, a table for each scenario.

    Without ``name`` every arm but the controls is there: the README's. With it, only scenarios in
    which that defense ran, its arms and its own controls beside the untouched model and plain
    fine-tuning: a card's. Empty where it did not run.
    """
    found = scenes(result)
    shown = [(scene, [arm for arm in scene.arms if _wanted(arm, name)]) for scene in found]
    shown = [(scene, arms) for scene, arms in shown if name is None or _ran(arms)]
    if not shown:
        return ""
    tables = [_table(result, arms) for _, arms in shown]
    if len(found) > 1:
        heads = (f"**{scene.title}**, {_seeds(scene)}" for scene, _ in shown)
        tables = [f"{head}\n\n{table}" for head, table in zip(heads, tables, strict=True)]
    return "\n\n".join([*tables, _note(found, result.command)])


def _wanted(arm: Arm, name: str | None) -> bool:
    """Return whether an arm belongs on the README (no name) or on a defense's card."""
    if arm.defense in {BEFORE, PLAIN}:
        return True
    return name in arm.defenses or (name is None and not arm.is_control)


def _ran(arms: list[Arm]) -> bool:
    return any(arm.defenses for arm in arms)


def _table(result: RunResult, arms: list[Arm]) -> str:
    head = ["model", *(title for _, title in FIGURES), "time"]
    rows = ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    return "\n".join([*rows, *(_row(result, arm) for arm in arms)])


def _seeds(scene: Scene) -> str:
    """Return how many seeds the fine-tuned arms have."""
    counts = sorted({len(arm.runs) for arm in scene.arms if arm.defense != BEFORE})
    return f"{' to '.join(str(n) for n in counts[:: max(1, len(counts) - 1)])} seeds"


def _note(found: list[Scene], command: str) -> str:
    """Return what the figures are and where they come from."""
    (ran, file), alone = SOURCES[command], len(found) == 1
    words = found[0].name.replace("_", " ")
    share = f" at p = {found[0].p}" if found[0].p is not None else ""
    what = f", {words}{share}, means over {_seeds(found[0])}" if alone else ", means over seeds"
    return (
        f"{ran}{what} with 95 % intervals; from `results/{file}`. HS: share of harmful requests "
        "complied with; FA: accuracy on the user's task; time: relative to plain fine-tuning."
    )


def _row(result: RunResult, arm: Arm) -> str:
    name = arm_name(arm.defense) if arm.is_control else arm.defense
    cells = [{BEFORE: "before", PLAIN: "plain fine-tuning"}.get(arm.defense, name)]
    for figure, _ in FIGURES:
        cells.append(shown(arm.figures.get(figure), "share"))  # type: ignore[call-overload]
    ratio = result.relative_time(arm)
    cells.append("–" if ratio is None else f"{ratio:.2f}×")
    return "| " + " | ".join(cells) + " |"


def replaced(text: str, part: str, content: str) -> str:
    """Return the text with what stands between the part's markers replaced."""
    start, end = f"<!-- {part}:start -->", f"<!-- {part}:end -->"
    before, _, rest = text.partition(start)
    _, _, after = rest.partition(end)
    lines = "\n".join(part for part in (start, content, end) if part)
    return f"{before}{lines}{after}"


def bench_tables(bench: RunResult, name: str | None = None, real: RunResult | None = None) -> str:
    """Return the worst cases of the published bench; of one defense they may be empty."""
    beside = column(real, "HS on")
    found = worst_case_tables(bench.bench, name, beside) if bench.bench is not None else ""
    note = (
        "`holdfast bench full`: the largest harmful score over the attacks, means over seeds with "
        "95 % intervals; from `results/bench`, `results/safe_lora` and `results/later`. FA there: "
        "accuracy on the user's task under that attack; time: relative to plain fine-tuning."
    )
    parts = [found, note, settings(bench, name), budget_table(bench, name)]
    return "\n\n".join(filter(None, parts)) if found else ""


def settings(bench: RunResult, name: str | None) -> str:
    """Return at which settings other than its defaults the bench ran a method, or all."""
    if name is not None:
        return settings_line(bench, name)
    note = (
        "**Settings that are not a method's defaults**, chosen on validation questions. Defaults "
        "are the paper's where the card names it as the source."
    )
    return f"{note}\n\n{settings_table(bench)}"


def budget_table(bench: RunResult, name: str | None = None) -> str:
    """Return where the task budget decided, not the method; '' where it nowhere did."""
    found = held_back_table(bench.arms, name)
    note = (
        "**Where the task budget decided.** What was chosen within the budget of one point of task "
        "score, and what the same frontier would choose without it (least harmful score): "
        "strength: harmful score, task score, on the defender's rows, as means over seeds. On test "
        "questions: HS and FA as run, and at the whole ρ without a budget, where that was run."
    )
    return f"{note}\n\n{found}" if found else ""


def pages() -> dict[Path, str]:
    """Return every page with generated parts as it should be."""
    readme = ROOT / "README.md"
    text = replaced(readme.read_text(), "defenses", defenses_table())
    demo, benign, controls = (RunResult.load(path) for path in (DEMO, BENIGN, CONTROLS))
    later = [RunResult.load(folder / "result.json") for folder in LATER]
    bench, real = joined(RunResult.load(BENCH), later), evidence(REAL)
    again = evidence(REAL / SECOND)
    text = replaced(text, "measured", bench_tables(bench, real=real))
    text = replaced(text, "which", which_one(bench, column(real, "HS on")))
    text = replaced(text, "real", readme_part(real, "docs/real_bench.md", again))
    text = replaced(text, "controls", controls_table(controls, CONTROLS.name))
    plan, faults = ROOT / "docs" / "map.md", ROOT / "docs" / "decisions" / FAULTS
    text_of_plan = plan.read_text()
    choice = ROOT / "docs" / "which_defense.md"
    which = replaced(choice.read_text(), "outcomes", by_outcome(bench))
    which = replaced(which, "real", which_part(real, again))
    for part, content in simple_parts(SIMPLE).items():
        which = replaced(which, part, content)
    page, engines = ROOT / "docs" / "real_bench.md", ROOT / "docs" / "engines.md"
    on_real = page.read_text()
    for part, content in page_parts(REAL).items():
        on_real = replaced(on_real, part, content)
    scaling = ROOT / "docs" / "scaling.md"
    sizes = scaling.read_text()
    for part, content in scaling_parts(SCALING).items():
        sizes = replaced(sizes, part, content)
    risk = ROOT / "docs" / "data_risk.md"
    of_rows = risk.read_text()
    both = data_risk_parts(DATA_RISK) | real_parts(DATA_RISK_REAL)
    for part, content in both.items():
        of_rows = replaced(of_rows, part, content)
    out = {
        risk: of_rows,
        page: on_real,
        scaling: sizes,
        choice: replaced(which, "moments", by_moment(bench, column(real, "HS on"))),
        engines: replaced(
            engines.read_text(), "matrix", engines_table(json.loads(ENGINES.read_text()))
        ),
        ROOT / "docs" / "errors.md": replaced(
            (ROOT / "docs" / "errors.md").read_text(), "exceptions", exceptions_tree()
        ),
        ROOT / "docs" / "judges.md": replaced(
            (ROOT / "docs" / "judges.md").read_text(), "agreement", agreement_table(JUDGE)
        ),
        plan: replaced(text_of_plan, "rooms", rooms_table(text_of_plan)),
        faults: replaced(faults.read_text(), "faults", faults_table(ROOT / "tests")),
    }
    for name in built_in():
        card = ROOT / "src" / "holdfast" / "defenses" / name / "card.md"
        parts = [bench_tables(bench, name), card_part(real, name, again)]
        parts += [measured_table(demo, name), measured_table(benign, name)]
        parts += [controls_table(controls, CONTROLS.name, name)] if parts[-1] else []
        out[card] = replaced(card.read_text(), "measured", "\n\n".join(filter(None, parts)))
    claims = claims_page(load_judged(CLAIMS), load_judged(REAL / "claims"))
    types = ROOT / "docs" / "architectures.md"
    out[types] = architectures_page(json.loads(ARCHITECTURES.read_text()))
    return {readme: text, ROOT / "docs" / "claims.md": claims, **out}


def main() -> None:
    """Write the pages, or check them."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="write nothing; fail if out of date")
    check = parser.parse_args().check
    stale = {
        path: text
        for path, text in pages().items()
        if not path.exists() or path.read_text() != text
    }
    for path, text in stale.items():
        if not check:
            path.write_text(text)
    if check and stale:
        sys.exit(f"out of date, run `make docs`: {', '.join(str(p) for p in stale)}")


if __name__ == "__main__":
    main()
