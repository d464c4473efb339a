"""Exponentials and logarithms enclosed by rational numbers."""

from __future__ import annotations

import math
from fractions import Fraction

from oamip_model.errors import CheckError

_BITS = 120
"""Bits of a rounded number; rounding is always outward."""
_TERMS = 30
_FARTHEST = 10_000
"""The largest exponent: the digits of its power grow with it."""


def exp_bounds(x: Fraction) -> tuple[Fraction, Fraction]:
    """Rational numbers below and above e^x.

    >>> low, high = exp_bounds(Fraction(1))
    >>> float(low) == float(high) == math.e, high - low < Fraction(1, 10**30)
    (True, True)
    """
    if x > _FARTHEST:
        raise CheckError("proof: a power of e in it is larger than what is checked")
    if x < -_FARTHEST:
        return Fraction(0), exp_bounds(Fraction(-_FARTHEST))[1]
    low, high = (Fraction(side(x * 2**_BITS), 2**_BITS) for side in (math.floor, math.ceil))
    return _exp(low)[0], _exp(high)[1]


def log_above(x: Fraction) -> Fraction:
    """A rational number above log x, for x > 0.

    >>> 0 <= log_above(Fraction(10)) - Fraction(math.log(10)) < Fraction(1, 10**11)
    True
    """
    # Any guess is valid whose exponential is proved to be large enough.
    guess = Fraction(math.log(x)) + Fraction(1, 10**13)
    while exp_bounds(guess)[0] < x:
        guess += Fraction(1, 10**12)
    return guess


def _exp(x: Fraction) -> tuple[Fraction, Fraction]:
    """The series at x / 2^k, whose absolute value is at most 1/2, squared k times."""
    k = max(0, math.ceil(abs(x)).bit_length() + 1)
    y = x / 2**k
    total, term = Fraction(1), Fraction(1)
    for n in range(1, _TERMS):
        term = term * y / n
        total += term
    rest = 2 * abs(term) / _TERMS
    low, high = _rounded(total - rest, math.floor), _rounded(total + rest, math.ceil)
    for _ in range(k):
        low, high = _rounded(low * low, math.floor), _rounded(high * high, math.ceil)
    return low, high


def _rounded(x: Fraction, side: type[int] | object) -> Fraction:
    shift = _BITS - (x.numerator.bit_length() - x.denominator.bit_length())
    scale = Fraction(2) ** shift
    return Fraction(side(x * scale)) / scale  # type: ignore[operator]
