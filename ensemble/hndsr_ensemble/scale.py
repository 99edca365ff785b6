"""The scale as a rational number, read from what the user wrote."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction

MAX_TERM = 1_000_000
"""Largest numerator or denominator of a reduced scale: keeps all products of the geometry within 64 bits."""

SIGNS = frozenset("0123456789./+-")
"""What a scale is written with; `Fraction` alone also reads exponents, underscores and the digits of other scripts."""


class ScaleError(ValueError):
    """A scale that is no number, has too many digits, or lies outside what a model supports."""


@dataclass(frozen=True, slots=True)
class Scale:
    """Target pixels per source pixel, reduced: `numerator / denominator`, both in [1, 10⁶]."""

    numerator: int
    denominator: int

    @classmethod
    def parse(cls, text: str) -> Scale:
        """Read a decimal ("4", "3.14") or a fraction ("22/7").

        Raises:
            ScaleError: if the text is no positive number or needs a term over 10⁶.
        """
        try:
            value = Fraction(text.strip()) if len(text) <= 64 and not set(text.strip()) - SIGNS else None
        except (ValueError, ZeroDivisionError):
            value = None
        if value is None or value <= 0:
            raise ScaleError(f"scale {text[:64]!r} is no positive number; write a decimal like '3.14' or '22/7'")
        if max(value.numerator, value.denominator) > MAX_TERM:
            raise ScaleError(f"scale {text!r} has a term over {MAX_TERM:,} as a fraction; write it with fewer digits")
        return cls(value.numerator, value.denominator)

    @property
    def fraction(self) -> Fraction:
        """The same number, for exact arithmetic."""
        return Fraction(self.numerator, self.denominator)

    def __float__(self) -> float:
        return self.numerator / self.denominator

    def __str__(self) -> str:
        value = self.fraction
        decimal = f"{float(value):.12g}"
        return decimal if "e" not in decimal and Fraction(decimal) == value else str(value)
