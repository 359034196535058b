"""Attack the arms of ``arms.yaml`` on the organism, one file a model; then write the table.

Usage: ``python -m measurements.red_team OUT`` goes on where it was stopped and writes
results/redteam/organism.json and the tables of docs/red_team.md from what is in OUT.
"""

import argparse
import json
import time
from pathlib import Path
from typing import Any

from holdfast.bench.bench import plan
from holdfast.bench.cell.cell import Cell
from holdfast.bench.cell.runs import examined
from holdfast.bench.cell.stages import prepared, repaired
from holdfast.evaluation import Item
from holdfast.evaluation.redteam import (
    ATTACKS,
    Attacker,
    Context,
    Target,
    attacks_named,
    frozen,
)
from holdfast.evaluation.redteam.answered import AttackAnswers
from holdfast.evaluation.redteam.proximal import searched
from holdfast.files.whole import write_whole
from holdfast.organism import Oracle
from holdfast.organism.attack_words import SPEECH
from holdfast.organism.items import evaluation_items
from holdfast.results.redteam.made import red_team_of
from measurements.red_team.table import write_tables

RECIPE = Path(__file__).with_name("arms.yaml")
COUNT, TOKENS, LIMIT, DRAWS = 60, 24, 128, 32


def main() -> None:
    """Attack what is not attacked yet, and write the tables."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", maxsplit=1)[0])
    parser.add_argument("out", type=Path)
    given = parser.parse_args()
    items = evaluation_items("test", COUNT)
    rows = [
        {"prompt": list(item.prompt),
         "completion": [{"role": "assistant", "content": item.reference}]}
        for item in items if item.kind == "task"
    ]  # fmt: skip
    context = Context(SPEECH, rows, seed=0, draws=DRAWS)
    # What is dearest comes last: a table of fewer seeds can be shown before.
    for cell in sorted(plan(str(RECIPE)).cells, key=lambda cell: "vectors" in name_of(cell)):
        target = given.out / f"{name_of(cell)}-{cell.seed}.json"
        if not target.exists():
            start = time.perf_counter()
            write_whole(target, json.dumps(attacked(cell, given.out, items, context)))
            print(f"{target.name}: {time.perf_counter() - start:.0f} s", flush=True)
    write_tables(given.out)


def name_of(cell: Cell) -> str:
    """Return the arm's name: what the user's data were, and what defended."""
    if cell.attack is None:
        return "before"
    names = [spec.card.name for spec in cell.defenses]
    return f"{'+'.join(names) or 'none'}-p{cell.attack.p:g}"


def attacked(cell: Cell, out: Path, items: list[Item], context: Context) -> dict[str, Any]:
    """Return what all attacks find on one cell's model, beside its usual figures."""
    if cell.attack is None:
        model, tokenizer = cell.subject.load()
    else:
        tuned = repaired(prepared(cell, out), cell.seed)
        model, tokenizer = tuned.model, tuned.tokenizer
    shares = examined(model, tokenizer, items, cell.subject).shares
    harmful = [item for item in items if item.kind == "harmful"]
    attacker = Attacker(Target(model, tokenizer, TOKENS, 64, LIMIT), harmful, [Oracle()])
    attacks = attacks_named("nightly")
    prompts = frozen(attacks, items, context)
    found = [attacker.ask(ATTACKS[name], asked) for name, asked in prompts.prompts.items()]
    search = searched(attacker, context)
    if search.why_not:
        found.append(AttackAnswers("proximal", not_run={"proximal": search.why_not}))
    else:
        found.append(attacker.ask(ATTACKS["proximal"], search.asked))
        found[-1].search = search.figures
    record = red_team_of(
        found, categories={item.id: item.category for item in harmful}, missing=prompts.missing,
        prompts_sha256=prompts.sha256, seed=context.seed,
    )  # fmt: skip
    usual = {name: share.value for name, share in shares.items()}
    told = {"arm": name_of(cell), "seed": cell.seed, "shares": usual}
    return {**told, "red_team": record.model_dump(mode="json")}


if __name__ == "__main__":
    main()
