"""What a budget allows: how large a pruned network may be."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

from oamip_model.checks import Checked, Needs, option, options
from oamip_model.errors import InputError
from oamip_model.kinds import Choice, Made, Number, Whole
from oamip_model.solving.options import Solver, as_solver

if TYPE_CHECKING:
    from oamip_model.network.counting.size import Size
    from oamip_model.solving.protocol import Backend

LIMITS = ("macs", "parameters")
"""The counts that a budget limits, by the names of its fields and of those of a size."""
WORDS = {"macs": "multiply-accumulates", "parameters": "parameters"}
Limits: TypeAlias = "int | tuple[tuple[str, int], ...]"
ENGINES = ("torch", "onnxruntime")
_TIMED = Needs("milliseconds", None, "only milliseconds have a use for it")
_PART = Number(0, least_open=True, words="a share above 0 and up to 1, or a number above 1")
_UNITS = Whole(1)


def _limits(given: Any) -> Limits:
    """A number of units for all layers, or pairs of a layer and its number."""
    if not isinstance(given, Mapping | tuple | list):
        return _UNITS.take(given)
    pairs = tuple(given.items()) if isinstance(given, Mapping) else tuple(tuple(pair) for pair in given)
    if not all(len(pair) == 2 and isinstance(pair[0], str) for pair in pairs):
        raise ValueError
    return tuple((str(name), _UNITS.take(units)) for name, units in pairs)


def _solver(given: Any) -> Any:
    try:
        return as_solver(given)
    except InputError:
        raise ValueError from None


_BY_LAYER = Made("are a number of units >= 1 and such numbers by layer", _limits)


@options
class Budget(Checked):
    """How large the pruned network may be (mathematics:budget-1).

    It takes the place of an ``amount``: an integer program decides how many units each layer keeps.

    Examples
    --------
    >>> Budget(macs=0.5, round_to=8), Budget(parameters=20000).limit("parameters", 61000)
    (Budget(macs=0.5, round_to=8), 20000)
    """

    macs: float | None = option(
        default=None, kind=_PART, flag="--macs",
        help="Multiply-accumulates that may be left: a share of the network's up to 1, or a number.",
    )  # fmt: skip
    parameters: float | None = option(
        default=None, kind=_PART, flag="--parameters",
        help="Parameters that may be left: a share of the network's up to 1, or a number.",
    )  # fmt: skip
    milliseconds: float | None = option(
        default=None, kind=_PART, flag="--milliseconds",
        help="Milliseconds of a call that may be left, measured here: a share of the network's up to 1, or a number.",
    )  # fmt: skip
    timed_in: str = option(
        default="torch", kind=Choice(ENGINES), flag="--timed-in", needs=(_TIMED,),
        help="What milliseconds of a budget are measured in.",
    )  # fmt: skip
    timed_images: int = option(
        default=1, kind=Whole(1, 10_000, words="a number of images"), flag="--timed-images", needs=(_TIMED,),
        help="Images of each call that is measured for a budget.",
    )  # fmt: skip
    round_to: int = option(
        default=1, kind=Whole(1, words="a number of units"), flag="--round-to",
        help="A budget keeps multiples of this number of units, or the whole layer.",
    )  # fmt: skip
    least: Limits = option(
        default=1, kind=_BY_LAYER, flag="--least",
        help="Units that each layer keeps at least within a budget: a number, or LAYER=N with commas.",
    )  # fmt: skip
    most: Limits | None = option(
        default=None, kind=_BY_LAYER, flag="--most",
        help="Units that each layer keeps at most within a budget: a number, or LAYER=N with commas.",
    )  # fmt: skip
    levels: int = option(
        default=20, kind=Whole(2, 1000, words="a number"), flag="--levels",
        help="Numbers of units of each layer that the budget's program chooses from, at most.",
    )  # fmt: skip
    solver: str | Backend | Solver = option(
        default=Solver(), kind=Made("are a solver's name and a Solver", _solver), flag="--solver", shown="highs",
        help="The solver of the budget's program.",
    )  # fmt: skip

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.macs is None and self.parameters is None and self.milliseconds is None:
            raise InputError("budget: got no macs, parameters or milliseconds, at least one is needed")

    def limit(self, name: str, whole: int) -> int | None:
        """The most that may be left of a count, None where it is not limited.

        Parameters
        ----------
        name : str
            One of :data:`LIMITS`.
        whole : int
            The network's own count.

        Returns
        -------
        int or None
            A whole number, also where the budget is a share.
        """
        given = getattr(self, name)
        if given is None:
            return None
        return int(given * whole + 1e-6) if given <= 1 else int(given)

    def bounds(self, layers: Mapping[str, int]) -> dict[str, tuple[int, int]]:
        """The least and most units of each layer, {name: (least, most)}.

        Parameters
        ----------
        layers : mapping of str to int
            Number of units of each layer, by name.

        Returns
        -------
        dict of str to tuple of int
            Both numbers of each layer.

        Raises
        ------
        InputError
            For a layer that is not there, a least number above its units, and a most below the least.
        """
        least, most = _by_layer("least", self.least, layers, 1), _by_layer("most", self.most, layers, None)
        found = {}
        for name, units in layers.items():
            low, high = least[name] or 1, most[name]
            if low > units:
                if not isinstance(self.least, int):
                    raise InputError(f"least: got {low} for layer {name}, which has {units} units")
                low = units  # a number for all layers keeps smaller ones whole
            if high is not None and high < low:
                raise InputError(f"most: got {high} for layer {name}, which keeps at least {low} units")
            found[name] = (low, units if high is None else min(high, units))
        return found


def _by_layer(field: str, given: Limits | None, layers: Mapping[str, int], rest: int | None) -> dict[str, int | None]:
    if given is None or isinstance(given, int):
        return dict.fromkeys(layers, rest if given is None else given)
    for name, _ in given:
        if name not in layers:
            raise InputError(f"{field}: unknown layer {name!r}, this network scores {', '.join(layers)}")
    return {name: dict(given).get(name, rest) for name in layers}


@dataclass(frozen=True)
class Timed:
    """Milliseconds of a call, measured on this machine before and after a cut.

    Parameters
    ----------
    before, after : float
        Those of the whole network and of the planned one, which took turns.
    predicted : float
        What the tables of the plan's program say of the planned one.
    limit : float
        The budget.
    engine : str
        What they were measured in.
    images : int
        Images of a call.
    tries : int
        Plans that were measured. After one that was too slow the program was solved with a smaller limit.
    """

    before: float
    after: float
    predicted: float
    limit: float
    engine: str
    images: int
    tries: int

    def words(self) -> str:
        """The milliseconds as a part of a plan's sentence."""
        return (
            f"{self.after:.3g} of {self.before:.3g} milliseconds measured (at most {self.limit:.3g}, predicted "
            f"{self.predicted:.3g}; {self.engine}, {self.images} at a time)"
        )


@dataclass(frozen=True)
class Plan:
    """The number of units that each layer keeps within a budget, and what is proved.

    Parameters
    ----------
    kept : dict of str to int
        Units of each group.
    before, after : Size
        Sizes of the whole network and of the smaller one.
    limits : dict of str to int
        The limit of each count.
    cost : float
        The cost of the plan (mathematics:budget-3).
    bound : float, optional
        The solver's lower bound of any plan's cost.
    optimal : bool
        Whether the plan is the best to the solver's gap.
    measured : tuple of str
        Groups whose cost is the error of elimination, and no surrogate.
    solver, version : str
        Name and version of the solver.
    seconds : float
        Wall clock.
    timed : Timed, optional
        Milliseconds, where they are limited.
    """

    kept: dict[str, int]
    before: Size
    after: Size
    limits: dict[str, int]
    cost: float
    bound: float | None
    optimal: bool
    measured: tuple[str, ...]
    solver: str
    version: str
    seconds: float
    timed: Timed | None = None

    def exceeded(self, size: Size) -> dict[str, int]:
        """The counts of a size that are above their limits, {count: by how much}."""
        over = {name: getattr(size, name) - limit for name, limit in self.limits.items()}
        return {name: by for name, by in over.items() if by > 0}

    def record(self) -> dict[str, Any]:
        """The plan in plain types, as --json prints it."""
        return {
            "limits": self.limits, "kept": self.kept, "before": asdict(self.before), "after": asdict(self.after),
            "cost": self.cost, "bound": self.bound, "optimal": self.optimal, "measured": list(self.measured),
            "solver": self.solver, "version": self.version, "seconds": self.seconds,
            "milliseconds": None if self.timed is None else asdict(self.timed), "summary": self.summary(),
        }  # fmt: skip

    def summary(self) -> str:
        """A sentence about the budget, how it was met, and what is proved."""
        parts = [
            f"{getattr(self.after, name):,} of {getattr(self.before, name):,} {WORDS[name]} (at most {limit:,})"
            for name, limit in self.limits.items()
        ]
        parts += [] if self.timed is None else [self.timed.words()]
        proved = "the best plan" if self.optimal else "not proved to be the best plan"
        by = "errors of elimination" if self.measured else "a surrogate of the scores"
        if self.measured and len(self.measured) < len(self.kept):
            by += f" ({len(self.measured)} of {len(self.kept)} layers, else a surrogate of the scores)"
        return f"budget: {', '.join(parts)}, {proved} by {by}, found by {self.solver} {self.version}"
