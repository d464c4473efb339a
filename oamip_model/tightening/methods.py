"""The methods of bounds and their options, apart from what they need to run."""

from __future__ import annotations

from oamip_model.checks import Checked, Flag, Needs, option, options
from oamip_model.errors import InputError
from oamip_model.kinds import Choice, Text, Whole
from oamip_model.solving.options import SECONDS

BOUND_METHODS = ("interval", "crown", "lp", "mip")
"""From quick to tight; each starts from the one before it."""


@options
class Tightening(Checked):
    """A method of bounds, and what it may cost.

    Examples
    --------
    >>> Tightening("lp", jobs=2)
    Tightening('lp', jobs=2)
    """

    method: str = option(
        default="crown", kind=Choice(BOUND_METHODS), flag=Flag("--method", key="method"), kw_only=False,
        help="From quick to tight; each starts from the one before it.",
    )  # fmt: skip
    time_limit: float | None = option(
        default=None, kind=SECONDS, flag="--time-limit",
        help="Seconds for reading and all methods; the rest keeps looser bounds.",
    )  # fmt: skip
    jobs: int = option(
        default=1, kind=Whole(1, words="a number of processes"), flag="--jobs", help="Processes of --method lp and mip."
    )
    solver: str = option(
        default="highs", kind=Text("a solver's name"), flag="--solver",
        help="The solver of --method lp, which needs duals, or mip, which needs dual bounds.",
    )  # fmt: skip
    solve_limit: float | None = option(
        default=None, kind=SECONDS, flag="--solve-limit", help="Seconds of each solve of --method mip.",
        needs=(Needs("method", ("mip",)),),
    )  # fmt: skip


def as_tightening(given: str | Tightening) -> Tightening:
    """The method of bounds that was given, a name standing for its defaults."""
    if isinstance(given, Tightening):
        return given
    if given not in BOUND_METHODS:
        raise InputError(f"bounds: got {given!r}, accepted are {', '.join(BOUND_METHODS)} and a Tightening")
    return Tightening(given)
