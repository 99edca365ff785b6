"""What a user may write as a scale, and what it means."""

from decimal import Decimal
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hndsr_ensemble.scale import MAX_TERM, Scale, ScaleError

terms = st.integers(1, MAX_TERM)


@given(st.decimals(Decimal("0.00001"), 9, places=5))
def test_scale_is_the_decimal_that_was_written(decimal: Decimal) -> None:
    assert Scale.parse(f"{decimal:f}").fraction == Fraction(decimal)


@given(terms, terms)
def test_scale_is_the_fraction_that_was_written(num: int, den: int) -> None:
    assert Scale.parse(f"{num}/{den}").fraction == Fraction(num, den)


@given(terms, terms)
def test_scale_is_reduced(num: int, den: int) -> None:
    scale = Scale.parse(f"{num}/{den}")
    assert (scale.numerator, scale.denominator) == Fraction(num, den).as_integer_ratio()


@given(terms, terms)
def test_scale_survives_its_text(num: int, den: int) -> None:
    scale = Scale.parse(f"{num}/{den}")
    assert Scale.parse(str(scale)) == scale


@given(st.integers(15, 80), st.integers(0, 3))
def test_scale_is_written_as_a_decimal_where_it_is_one(tenths: int, zeros: int) -> None:
    assert str(Scale.parse(f"{tenths / 10}" + "0" * zeros)) == f"{tenths / 10:g}"


@given(terms, terms)
def test_scale_as_a_float_is_the_nearest_one(num: int, den: int) -> None:
    assert float(Scale.parse(f"{num}/{den}")) == float(Fraction(num, den))


@pytest.mark.parametrize(
    ("text", "num", "den"),
    [
        ("4", 4, 1),
        ("4.0", 4, 1),
        (" 4 ", 4, 1),
        ("3.14", 157, 50),
        ("22/7", 22, 7),
        ("44/14", 22, 7),
        ("0.5", 1, 2),
        (".5", 1, 2),
        ("1000000", 1_000_000, 1),
        ("1/1000000", 1, 1_000_000),
        ("0.000001", 1, 1_000_000),
        ("3.1400000000000000000000", 157, 50),
    ],
)
def test_scale_is_read(text: str, num: int, den: int) -> None:
    assert Scale.parse(text) == Scale(num, den)


JUNK = ["", " ", "four", "x4", "4x", "4,5", "4 5", "1.2.3", "0x4", "4//2", "1/2/3", "1.5/2", "4%", "4\x00", "½", "²"]
NUMBERS_THAT_ARE_NONE = ["nan", "NaN", "inf", "Infinity", "-inf", "4/0", "0/0"]
NOT_POSITIVE = ["0", "0.0", "-0", "0/5", "-4", "-1/2", "4/-1", "--4"]
EXPONENTS = ["4e0", "4E0", "1e1", "400e-2", "1e999999999", "1e-999999999"]
OTHER_SCRIPTS = ["٤", "४.५", "４", "२२/७"]
UNDERSCORES = ["1_0", "1_0/2", "2.5_0"]
TOO_FINE = ["3.141593", "1000001", "1/1000001", "1000001/1000000", "4.0000001", "0.0000001", "9" * 60, "9" * 10_000]


@pytest.mark.parametrize(
    "text", [*JUNK, *NUMBERS_THAT_ARE_NONE, *NOT_POSITIVE, *EXPONENTS, *OTHER_SCRIPTS, *UNDERSCORES, *TOO_FINE]
)
def test_scale_is_refused(text: str) -> None:
    with pytest.raises(ScaleError):
        Scale.parse(text)


@given(st.text())
def test_scale_of_any_text_is_read_or_refused(text: str) -> None:
    try:
        scale = Scale.parse(text)
    except ScaleError:
        return
    assert scale.fraction > 0


@given(st.text())
def test_refusal_is_short_whatever_the_text(text: str) -> None:
    with pytest.raises(ScaleError) as refused:
        Scale.parse("x" + text * 100)
    assert len(str(refused.value)) < 1000
