"""What is told of an error of a library: its begin, its end, and what it came from."""

from holdfast.errors import reason_of


def raised(error: Exception, cause: BaseException | None = None) -> Exception:
    try:
        raise error from cause
    except Exception as found:  # noqa: BLE001
        return found


def test_a_short_error_is_one_line_and_whole():
    assert reason_of(ValueError("no\n  such thing")) == "no such thing"
    assert reason_of(ValueError()) == "ValueError"


def test_of_a_long_error_begin_and_end_stay():
    told = reason_of(ValueError(f"cannot load x {'y' * 5000} install z"))
    assert told.startswith("cannot load x ")
    assert told.endswith(" install z")
    assert len(told) == 500


def test_the_error_at_the_root_is_told_unless_its_words_stand_there():
    root = OSError("disk gone")
    between = raised(RuntimeError("cannot read"), root)
    assert reason_of(raised(ValueError("x"), between)) == "x (from OSError: disk gone)"
    assert reason_of(raised(ValueError("x: disk gone"), between)) == "x: disk gone"


def test_what_was_being_handled_counts_unless_it_was_left_out():
    error = ValueError("second")
    error.__context__ = OSError("first")
    assert reason_of(error) == "second (from OSError: first)"
    error.__suppress_context__ = True
    assert reason_of(error) == "second"


def test_errors_in_a_circle_end():
    one, two = ValueError("one"), ValueError("two")
    one.__cause__, two.__cause__ = two, one
    assert reason_of(one) == "one (from ValueError: two)"
