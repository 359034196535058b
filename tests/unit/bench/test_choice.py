"""Which cells run now, and what is published of them: nothing done is done twice."""

import json
import shutil
import time

import pytest

from holdfast.bench.bench import run_bench
from holdfast.bench.cell.packed import PACKED
from holdfast.bench.cell.run_cell import keep, read, result_file
from holdfast.bench.choice import Choice
from holdfast.bench.dry_run import outlook
from holdfast.errors import ConfigError, InputError
from holdfast.evaluation.metrics import Outcome
from holdfast.results.readings import Opinion, Reading
from holdfast.results.records import Answer, SeedRun
from holdfast.results.result import RunResult
from measurements.publish import publish_folder
from tests.unit.bench.pool.test_runner import bench_of, calls, fake, tables


@pytest.mark.slow
def test_one_cell_runs_by_its_words_and_the_others_are_left(tmp_path):
    bench = bench_of(3, defenses=["none", "safe_mixing:share=0.1", "safe_mixing:share=0.2"])
    [one] = Choice(("seed=1 none",)).of(bench.cells)
    assert (one.seed, one.specs) == (1, "")
    assert len(Choice(("safe_mixing seed=2",)).of(bench.cells)) == 2
    assert len(Choice(("safe_mixing:share=0.1", one.key)).of(bench.cells)) == 4
    said, rows, lines = outlook(bench, tmp_path, Choice((one.key,)))
    assert (len(rows), len(lines)) == (1, 1)
    assert said.startswith("0 of 1 cells")
    result, outcome = run_bench(bench, tmp_path, 1, run=fake, choice=Choice(("none seed=1",)))
    assert calls(tmp_path) == [1]
    assert list(outcome.runs) == [one.key]
    assert result.warnings == ["8 of 9 cells have not run yet: the same recipe goes on"]
    result, _ = run_bench(bench, tmp_path, 1, run=fake, choice=Choice(("none",)))
    assert calls(tmp_path) == [0, 1, 2]
    run_bench(bench, tmp_path, 1, run=fake, choice=Choice(("safe_mixing seed=0",)))
    result, outcome = run_bench(bench, tmp_path, 1, run=fake)
    assert (len(calls(tmp_path)), len(outcome.runs), result.warnings) == (9, 9, [])
    whole = tmp_path / "whole"
    run_bench(bench, whole, 1, run=fake)
    assert tables(whole) == tables(tmp_path)


def test_a_damaged_cell_that_does_not_run_now_is_named(tmp_path):
    """It fell out of the tables, as one that had not run yet."""
    bench = bench_of(2)
    run_bench(bench, tmp_path, 1, run=fake)
    damaged = result_file(bench.cells[1], tmp_path)
    damaged.write_text("{")
    result, outcome = run_bench(bench, tmp_path, 1, run=fake, choice=Choice(("seed=0",)))
    assert [line for line in outcome.warnings if str(damaged) in line] == outcome.warnings
    assert len(outcome.warnings) == 1
    assert outcome.warnings[0] in result.warnings


@pytest.mark.parametrize(
    ("choice", "said"),
    [
        (Choice(("none seed=7",)), "`only=none seed=7` names no cell"),
        (Choice(("",)), "`only=` names no cell"),
        (Choice(minutes=0), "`minutes=0` is out of range"),
        (Choice(minutes=float("nan")), "`minutes=nan` is out of range"),
    ],
)
def test_a_choice_of_nothing_is_refused_before_anything_is_written(tmp_path, choice, said):
    with pytest.raises(ConfigError, match=said):
        run_bench(bench_of(), tmp_path / "out", 1, run=fake, choice=choice)
    assert not (tmp_path / "out").exists()


def test_no_cell_begins_when_the_time_is_over(tmp_path):
    bench = bench_of(6)
    (tmp_path / "out").mkdir()
    run_bench(bench, tmp_path / "out", 1, run=fake, choice=Choice(minutes=1e-9))
    assert not (tmp_path / "out" / "calls").exists()
    run_bench(bench, tmp_path / "out", 1, run=slowly, choice=Choice(minutes=1.0 / 60))
    done = len(calls(tmp_path / "out"))
    assert 0 < done < 6
    result, _ = run_bench(bench, tmp_path / "out", 1, run=fake)
    assert calls(tmp_path / "out") == list(range(6))
    assert result.warnings == []


def slowly(cell, out):
    time.sleep(0.7)
    return fake(cell, out)


def texts(cell, out):
    """A run with texts, two judges and a kept answer."""
    fake(cell, out)
    secret = {"prompt": "secret question", "answer": "secret answer", "label": "secret word"}
    harm = ["harmful-correct", "refused"][cell.seed % 2]
    answers = [
        Answer(id="h", kind="harmful", outcome=harm, refused=harm == "refused", correct=False,
               probability=0.5, thought="secret thought", **secret),
        Answer(id="u", kind="useful", outcome="helpful", refused=False, correct=False,
               kept=0.25 * cell.seed, nll=1.0, **secret),
    ]  # fmt: skip
    opinion = Opinion(id="h", kind="harmful", outcome="refused", refused=True, correct=False,
                      label="secret word", raw="secret")  # fmt: skip
    reading = Reading(judge="other", answers=[opinion], counts={"harmful": {Outcome.REFUSED: 1}})
    return SeedRun(seed=cell.seed, answers=answers, readings=[reading], perplexity=2.0,
                   seconds=2.0, cpu_seconds=1.5, judge="first")  # fmt: skip


@pytest.mark.slow
def test_what_is_published_has_no_text_and_gives_the_same_tables_and_goes_on(tmp_path):
    bench, out, there = bench_of(4), tmp_path / "out", tmp_path / "published"
    result, _ = run_bench(bench, out, 1, run=texts, choice=Choice(("seed=0", "seed=1", "seed=2")))
    before = tables(out)
    (out / "shared").mkdir()
    publish_folder(out, there)
    assert not (there / "shared").exists()
    packed = sorted(there.glob("cells/*/*"))
    assert [path.name for path in packed] == [PACKED] * 3
    shown = json.loads((there / "result.json").read_text())
    assert "secret" not in json.dumps(shown)
    for cell in bench.cells[:3]:
        run = read(cell, there)
        assert "secret" not in run.model_dump_json()
        assert run.hits("usefulness") == {"u": 0.25 * cell.seed}
        assert run.hits("hs") == read(cell, out).hits("hs")
        assert run.readings[0].hits("hs") == {"h": False}
    again, _ = run_bench(bench, there, 1, run=texts, choice=Choice(("seed=0",)))
    assert not (there / "calls").exists()
    assert tables(there) == before
    assert again.agreement == result.agreement
    assert again.arms[0].figures == result.arms[0].figures
    run_bench(bench, there, 1, run=texts)
    assert calls(there) == [3]
    publish_folder(there, tmp_path / "twice")
    assert len([*(tmp_path / "twice").glob(f"cells/*/{PACKED}")]) == 4
    copy = tmp_path / "twice" / packed[0].relative_to(there)
    assert copy.read_bytes() == packed[0].read_bytes()


def test_a_damaged_packed_cell_is_named_and_runs_again(tmp_path):
    bench, out, there = bench_of(1), tmp_path / "out", tmp_path / "published"
    [cell] = bench.cells
    out.mkdir()
    keep(cell, texts(cell, out), out)
    (out / "result.json").write_text(RunResult.of("bench", []).model_dump_json())
    publish_folder(out, there)
    packed = result_file(cell, there).with_name(PACKED)
    whole = packed.read_bytes()
    block = whole[:10] + bytes([whole[10] | 6]) + whole[11:]  # No kind of block that there is.
    for damage in (whole[:-9], b"no gzip", b"", block):
        packed.write_bytes(damage)
        with pytest.raises(InputError, match="is damaged"):
            read(cell, there)
    shutil.rmtree(packed.parent)
    assert read(cell, there) is None
