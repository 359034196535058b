"""``python -m measurements.tour``: the tour of a model; what was done is not done again."""

import argparse
import json
import shlex
import subprocess
import sys
import time
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from holdfast.files.whole import write_whole
from holdfast.results.provenance import this_machine, versions
from measurements.tour.figures import disagreements, figures_of, headline
from measurements.tour.rows import Sizes
from measurements.tour.steps import Step, steps, written

ROOT = Path(__file__).resolve().parents[2]
SHARED = ROOT.parent / "shared" / "data"
Record = dict[str, Any]


def main() -> None:
    """Run the steps that are left, print each with its time and figures, and write the summary."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", default="models/smollm2", help="folder, hub id or 'organism'")
    parser.add_argument("--out", type=Path, default=Path("tour-out"), help="where all of it comes")
    parser.add_argument("--data", type=Path, default=SHARED, help="folder of the public data")
    parser.add_argument("--rows", type=int, help="so many rows of everything: a rehearsal")
    parser.add_argument("--summary", type=Path, help="also write the summary here")
    given = parser.parse_args()
    local = Path(given.model)
    model = str(local.resolve()) if local.is_dir() else given.model
    out: Path = given.out.resolve()
    _begin(out, {"model": model, "rows": given.rows})
    sizes = Sizes.of(given.rows, real=model != "organism")
    plan = steps(model, given.data.resolve(), sizes)
    records = {step.name: _done(step, out, f"{n}/{len(plan)}") for n, step in enumerate(plan, 1)}
    text = json.dumps(_summary(model, given.rows, out, records), indent=1)
    for path in filter(None, [out / "tour.json", given.summary]):
        write_whole(path, text + "\n")
    print(f"\nin all {sum(r.get('seconds', 0) for r in records.values()) / 60:.1f} minutes")
    print(f"reports: {', '.join(str(p) for p in sorted(out.glob('*/report.html')))}")
    if wrong := disagreements(records):
        sys.exit("inspect-ai and holdfast differ: " + "; ".join(wrong))


def _begin(out: Path, settings: Record) -> None:
    """Refuse to go on with another tour in the same folder."""
    path = out / "settings.json"
    if path.is_file() and json.loads(path.read_text()) != settings:
        sys.exit(f"{out} holds a tour with other settings: give another --out")
    path.parent.mkdir(parents=True, exist_ok=True)
    write_whole(path, json.dumps(settings))


def _done(step: Step, out: Path, number: str) -> Record:
    """Return a step's record; it is run unless the record is there."""
    path = out / "steps" / f"{step.name}.json"
    words = written(step)
    print(f"\n[{number}] {step.does}\n$ {shlex.join(words)}", flush=True)
    if path.is_file():
        record = json.loads(path.read_text())
        print(f"done before, in {record['seconds']:.0f} s\n{headline(record)}", flush=True)
        return record
    if find_spec(step.needs) is None:
        print(f"left out: {step.needs} is not installed")
        return {"left_out": f"{step.needs} is not installed"}
    if step.prepare:
        step.prepare(out)
    seconds = _run(step, words, out)
    record = {"command": shlex.join(words), "seconds": round(seconds, 1)}
    record |= figures_of(out, step.name)
    path.parent.mkdir(exist_ok=True)
    write_whole(path, json.dumps(record))
    print(f"{seconds:.0f} s\n{headline(record)}", flush=True)
    return record


def _run(step: Step, words: tuple[str, ...], out: Path) -> float:
    """Run one command in the tour's folder and return the seconds; its words go to a log."""
    program = [sys.executable, "-c", "from holdfast.cli import main; raise SystemExit(main())"]
    if words[0] != "holdfast":
        program = [str(Path(sys.executable).with_name(words[0]))]
    log = out / f"{step.name}.log"
    began = time.monotonic()
    with log.open("w") as file:
        command = [*program, *words[1:]]
        ended = subprocess.run(command, cwd=out, stdout=file, stderr=file, check=False)  # noqa: S603
    if ended.returncode:
        last = log.read_text().splitlines()[-15:]
        sys.exit("\n".join([*last, f"step {step.name} ended with {ended.returncode}: see {log}"]))
    return time.monotonic() - began


def _summary(model: str, rows: int | None, out: Path, records: dict[str, Record]) -> Record:
    """Return the tour in one object, without the paths of this machine."""
    source = Path(model) / "SOURCE.json"
    known = json.loads(source.read_text()) if source.is_file() else {}
    shown = json.dumps(records).replace(model, Path(model).name).replace(str(out), ".")
    return {
        "tour": Path(model).name,
        "weights": known,
        "rows": rows,
        "steps": json.loads(shown),
        "seconds": round(sum(r.get("seconds", 0) for r in records.values()), 1),
        "inspect_equals_evaluate": not disagreements(records),
        "machine": this_machine().model_dump(),
        "versions": versions(),
    }


if __name__ == "__main__":
    main()
