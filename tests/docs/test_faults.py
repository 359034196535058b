"""Every row of the list of faults found in use has a test that names it."""

from pathlib import Path

from faults import ROWS, faults_table, holding_tests

TESTS = Path(__file__).resolve().parents[1]


def test_each_row_has_a_test_and_no_test_names_another():
    found = holding_tests(TESTS)
    assert [row for row, tests in found.items() if not tests] == []
    assert len(found) == sum(ROWS.values())


def test_a_row_without_a_test_is_seen(tmp_path):
    folder = tmp_path / "tests"
    folder.mkdir()
    lines = ["def test_one():", '    """Fault A1: it left 0.5 of\n    the weights. More."""']
    (folder / "test_it.py").write_text("\n".join(lines))
    found = holding_tests(folder)
    assert found["A1"] == [("tests/test_it.py", "test_one", "it left 0.5 of the weights")]
    assert not found["A2"]
    assert "| A1 | it left 0.5 of the weights | `tests/test_it.py`: `test_one` |" in faults_table(
        folder
    )
