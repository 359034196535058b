"""The number that an answer comes to, however it is written."""

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from holdfast.evaluation.judges.matching import final_number, matches

NBSP, THIN, NARROW, MINUS = "\u00a0", "\u2009", "\u202f", "\u2212"
RIGHT = [
    ("#### 72\n\nQuestion: next?\n#### 5", "#### 72"),
    ("#### 72\nQ: next?\nA: #### 5", "72"),
    ("It is 72.\n\nQuestion: what is 3 plus 2? It is 5.", "72"),
    ("#### 72\n#### 5", "#### 72"),
    (r"\boxed{72}. Checked in 2 steps", "#### 72"),
    (r"So \boxed{36}, no: \boxed{72}", "72"),
    (r"\boxed{\text{\$}72\text{ dollars}}", "72"),
    ("#### Step 1: halve\n#### Step 2: add\nSo 72", "72"),
    ("#### Step 1\n" + r"\boxed{72}", "72"),
    ("The answer is 72. Checked in 2 steps.", "72"),
    ("The answer is **72** (of 100).", "72"),
    ("Answer: $72, in 3 days", "72"),
    (f"{MINUS}5", "-5"),
    (f"#### {MINUS}5", "#### -5"),
    ("It is \uff0d5", "-5"),
    ("-$5", "-5"),
    ("$-5", "-5"),
    (f"1{NBSP}234", "1234"),
    (f"1{NARROW}234{NARROW}567", "1,234,567"),
    (f"1{THIN}234.5", "1234.5"),
    ("1 234 567", "1234567"),
    ("1'234", "1234"),
    (r"1{,}234", "1234"),
    (r"1\,234", "1234"),
    ("1.234.567,5", "1234567.5"),
    ("\u0667\u0662", "72"),
    ("\uff17\uff12", "72"),
    ("1/2", "0.5"),
    ("\u00bd", "1/2"),
    ("2\u00bd", "2.5"),
    ("2 1/2", "2.5"),
    (r"\boxed{\frac{1}{2}}", "1/2"),
    (r"\boxed{-\dfrac{1}{2}}", "-0.5"),
    (r"\frac{-1}{2}", "-1/2"),
    ("72.0", "72"),
    (".5", "0.50"),
    ("1.5e3", "1500"),
    ("72%", "72"),
    ("5 - 3 = 2", "2"),
    ("12-10", "10"),
    ("72.", "72"),
    ("\u20115", "-5"),
    ("\u20105", "-5"),
    (r"\boxed{1,\!234}", "1234"),
    (r"\boxed{\frac12}", "1/2"),
    ("The answer is 7.2 \u00d7 10^1.", "72"),
    (r"\boxed{7.2 \times 10^{1}}", "72"),
    ("#### 70 + 2 = 72", "#### 72"),
    ("#### 72 = 70 + 2", "#### 72"),
    ("#### -5 = 3 - 8", "#### -5"),
    (r"\boxed{70 + 2 = 72}", "72"),
    (r"\boxed{72\text{ cm}}", "72"),
    (r"\boxed{90^\circ}", "90"),
    (r"\boxed{(3, 5)}", r"\boxed{(3,5)}"),
    (r"\boxed{\text{Paris}}", r"\boxed{Paris}"),
    (r"\boxed{\dfrac{x}{2}}", r"\boxed{\frac{x}{2}}"),
    ("#### 1,072.50", "1072.5"),
    (r"\boxed{x + 1}", r"so \boxed{x + 1}"),
    ("#### Paris", "thus #### paris"),
]
WRONG = [
    ("5", "-5"),
    (f"{MINUS}5", "5"),
    ("#### 5\n\nQuestion\n#### 72", "#### 72"),
    (r"72, so \boxed{5}", "72"),
    ("1/0", "1"),
    ("none", "72"),
    ("", "72"),
    (r"\boxed{x + 2}", r"\boxed{x + 1}"),
    ("9" * 5000, "72"),
    (r"\boxed{5}", r"\boxed{(3,5)}"),
    (r"\boxed{2}", r"\boxed{x + 2}"),
    (r"\boxed{\sqrt{72}}", "72"),
    (r"\boxed{2\pi}", r"\boxed{2}"),
    (r"\boxed{2^{10}}", "10"),
    (r"\boxed{3x}", "3"),
]


@pytest.mark.parametrize(("answer", "reference"), RIGHT)
def test_a_right_answer_is_right_however_it_is_written(answer, reference):
    """Fault D10: the last marker, the last number, and ASCII digits alone were read."""
    assert matches(answer, reference)


@pytest.mark.parametrize(("answer", "reference"), WRONG)
def test_a_wrong_one_is_not(answer, reference):
    """Fault D10: a sign that is not ASCII was lost, so that -5 was 5."""
    assert not matches(answer, reference)


numbers = st.integers(-(10**7), 10**7)
FRAMES = (
    "{}", "#### {}", r"\boxed{{{}}}", "The answer is {}.", "so 12 and 7 make {}", "**{}**",
    "#### {}\n\nQuestion: and 3?\n#### 5", r"\boxed{{{}}}. Checked in 2 steps", "It is {} .",
)  # fmt: skip
DIGITS = ("0123456789", *("".join(chr(n + i) for i in range(10)) for n in (0x660, 0xFF10, 0x966)))


@given(
    number=numbers,
    hundredths=st.sampled_from(["", "5", "25", "00"]),
    frame=st.sampled_from(FRAMES),
    group=st.sampled_from(["", ",", NBSP, NARROW, THIN, "'"]),
    minus=st.sampled_from(["-", MINUS]),
    digits=st.sampled_from(DIGITS),
)
def test_every_way_of_writing_gives_the_number(number, hundredths, frame, group, minus, digits):
    """Fault D10: any of signs, groups, digits and frames could hide the number."""
    text = f"{abs(number):,}".replace(",", group) + (f".{hundredths}" if hundredths else "")
    text = text.translate(str.maketrans("0123456789", digits))
    value = Fraction(f"{number}" + (f".{hundredths}" if hundredths else ""))
    sign = minus if number < 0 else ""
    assert final_number(frame.format(f"{sign}{text}")) == value


@given(st.text(alphabet="0123456789.,-/#${}\\boxedfracn aQ:\n\u2212\u00a0½", max_size=60))
def test_no_text_breaks_it(text):
    """Fault D10: whatever a model says, it is a number or none."""
    assert final_number(text) is None or isinstance(final_number(text), Fraction)
