"""``python -m measurements.real``: rows, untuned answers, alignment, own answers and the check.

The setting is the one that ``align_search`` chose and results/real/align.json keeps. What lies in
the folder already is not made again; ``--adapter`` takes one that was aligned elsewhere.
"""

import argparse
import json
import shutil
import sys
from pathlib import Path

from measurements.public_rows import write_rows
from measurements.real.aligning import Setting, align, alignment_rows, save_merged
from measurements.real.answers import FILES, Who, loaded, write_answers
from measurements.real.check import check, failures
from measurements.real.rows import Sizes, write_all

ROOT = Path(__file__).resolve().parents[2]
RECORD = ROOT / "results" / "real" / "align.json"


def main() -> None:
    """Make the subject of the bench in ``--out``: rows/, aligned/ and check/."""
    given = _arguments()
    rows, aligned = given.out / "rows", given.out / "aligned"
    if not (rows / "test_harmful_both.jsonl").is_file():
        _say("rows", write_all(given.data, rows, Sizes.of(given.rows)))
    _answers(rows, given.model, "untuned", given.device)
    if not (aligned / "config.json").is_file():
        adapter = _aligned(given, rows)
        partial = given.out / ".aligned.partial"
        shutil.rmtree(partial, ignore_errors=True)
        save_merged(given.model, adapter, partial)
        partial.rename(aligned)
    _answers(rows, aligned, "aligned", given.device)
    found = check(rows, aligned, given.out / "check", given.device, given.limit)
    if wrong := failures(found):
        sys.exit(wrong)
    print(f"ready: {aligned} and {rows}")


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", maxsplit=1)[0])
    parser.add_argument("--data", type=Path, default=ROOT.parent / "shared" / "data")
    parser.add_argument("--model", type=Path, default=Path("models/smollm2"))
    parser.add_argument("--out", type=Path, default=Path("real-out"))
    parser.add_argument("--adapter", type=Path, help="an adapter that was aligned already")
    parser.add_argument("--seed", type=int, default=0, help="seed of the alignment")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--rows", type=int, help="so many rows of everything: a rehearsal")
    parser.add_argument("--limit", type=int, help="so many questions of the check")
    return parser.parse_args()


def _answers(rows: Path, model: Path, who: Who, device: str) -> None:
    """Write a model's own answers unless all their files are there."""
    if all((rows / f"{name}.jsonl").is_file() for name in FILES[who]):
        return
    told = write_answers(*loaded(str(model), device), rows, who)
    _say(f"answers of the {who} model", {name: kept for name, (kept, _) in told.items()})


def _setting() -> Setting:
    """Return the recorded setting; before there is a record, the default one, and say so."""
    if RECORD.is_file():
        return Setting(**json.loads(RECORD.read_text())["chosen"])
    print(f"no {RECORD}: aligned by a setting that no search has chosen")
    return Setting()


def _aligned(given: argparse.Namespace, rows: Path) -> Path:
    """Return the adapter, aligned here unless it is given; what it learned goes to the rows."""
    setting = _setting()
    write_rows(rows / "alignment.jsonl", alignment_rows(rows, setting))
    if given.adapter is not None:
        return given.adapter
    print(f"align: {setting.name}, seed {given.seed}", flush=True)
    work, cpu = given.out / "aligning", given.device == "cpu"
    return align(given.model, rows, setting, seed=given.seed, out=work, cpu=cpu)


def _say(what: str, counts: dict[str, int]) -> None:
    print(f"{what}: " + ", ".join(f"{name} {n}" for name, n in counts.items()), flush=True)


if __name__ == "__main__":
    main()
