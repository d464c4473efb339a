"""The options of a solve: the solver, the search, and the run."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from oamip_model.checks import Checked, Flag, option, options
from oamip_model.errors import InputError
from oamip_model.kinds import Choice, File, Made, Number, Switch, Text, Whole
from oamip_model.solving.searches import SEARCHES
from oamip_model.solving.workers.engines import ENGINES

if TYPE_CHECKING:
    from oamip_model.solving.protocol import Backend, Options
    from oamip_model.solving.workers.parallel import Workers

SECONDS = Number(0, least_open=True, words="a number of seconds > 0")
GAP = Number(0, 1, least_open=True, most_open=True, words="a relative gap between 0 and 1")
OPEN_SHARE = Number(0, 1, least_open=True, words="a share above 0 and up to 1")
DEFAULT_TOLERANCE = 1e-4


def _backend(given: Any) -> Any:
    if not isinstance(given, str) and not hasattr(given, "capabilities"):
        raise ValueError
    return given


@options
class Solver(Checked):
    """A solver and its options.

    Examples
    --------
    >>> Solver("cbc", time_limit=60)
    Solver('cbc', time_limit=60.0)
    """

    name: str | Backend = option(
        default="highs", kind=Made("are a solver's name and a backend", _backend), flag=Flag("--solver", key="solver"),
        help="A name of `oamip solvers`, or pyomo:NAME.", kw_only=False,
    )  # fmt: skip
    time_limit: float | None = option(
        default=None, kind=SECONDS, flag="--time-limit",
        help="Seconds for each program, bounds and heuristic included.",
    )  # fmt: skip
    tolerance: float | None = option(
        default=None, kind=GAP, flag="--tolerance", shown="1e-3; all layers 1e-4",
        help="Relative gap at which a program is solved.",
    )  # fmt: skip
    threads: int | None = option(
        default=1, kind=Whole(1, words="a number of threads"), optional=True, flag="--threads",
        help="Threads of the solver.",
    )  # fmt: skip
    seed: int | None = option(
        default=0, kind=Whole(0), optional=True, flag="--seed", help="Seed of the choice of images, and of the solver."
    )
    log_file: str | None = option(
        default=None, kind=File(), flag="--log-file", help="Append the solver's log to this file."
    )

    @property
    def label(self) -> str:
        """Name of the solver."""
        return self.name if isinstance(self.name, str) else self.name.name

    def gap(self, default: float = DEFAULT_TOLERANCE) -> float:
        """The tolerance, or this default where none is given.

        Parameters
        ----------
        default : float, default 1e-4
            The relative gap of a program whose solver has no tolerance.

        Returns
        -------
        float
            A relative gap.
        """
        return default if self.tolerance is None else self.tolerance

    def options(self, gap: float, feasibility: float | None = None) -> Options:
        """The options that a backend is given.

        Parameters
        ----------
        gap : float
            The relative gap at which a solve is called optimal.
        feasibility : float, optional
            Tolerance of rows, bounds and integrality.

        Returns
        -------
        Options
            Limits, threads, seed and log file of this solver.
        """
        from oamip_model.solving.protocol import Options

        log = None if self.log_file is None else Path(self.log_file)
        return Options(self.time_limit, gap, self.threads, self.seed, log, feasibility)


def as_solver(given: str | Backend | Solver) -> Solver:
    """The solver that was given, where a name is a solver with its defaults.

    Parameters
    ----------
    given : str, Backend or Solver
        A name, a backend, or an object with limits.

    Returns
    -------
    Solver
        The object itself, or one with the defaults.

    Raises
    ------
    InputError
        For an object that is no solver.
    """
    return given if isinstance(given, Solver) else Solver(given)


@options
class TreeSearch(Checked):
    """The package's own search tree over the linear programs of a solver.

    See :mod:`oamip_model.solving.treesearch.tree`.

    Examples
    --------
    >>> TreeSearch(dive=0.1)
    TreeSearch(dive=0.1)
    """

    image_cuts: bool = option(
        default=True, kind=Switch(), flag=Flag("--image-cuts", off="--no-image-cuts"),
        shown="yes, from 200 binaries on",
        help="Whether --search tree adds cuts from programs of one image each.",
    )  # fmt: skip
    image_cuts_from: int = option(
        default=200, kind=Whole(0, words="a number of binaries"),
        help="Binaries from which a program gets cuts of single images: in smaller ones branching proves more.",
    )  # fmt: skip
    image_step: float = option(
        default=0.15, kind=OPEN_SHARE,
        help="Share of the gap that a step of the images' multipliers would close if their best scores did not change.",
    )  # fmt: skip
    image_gain: float = option(
        default=0.01, kind=OPEN_SHARE, help="Share of the gap that a round of image cuts closes for another one."
    )
    image_time: float = option(
        default=0.9, kind=OPEN_SHARE, help="Share of the remaining time that programs of single images may take."
    )
    strong_branching: int = option(
        default=30, kind=Whole(1, words="a number of columns"),
        help="Columns at most whose two sides are solved for one choice of a column to branch on.",
    )  # fmt: skip
    reliable: int = option(
        default=2, kind=Whole(0, words="a number of times"),
        help="Times that both sides of a column are solved before its pseudo-costs take their place.",
    )  # fmt: skip
    root_rounds: int = option(default=100, kind=Whole(0, words="a number of rounds"), help="Cut rounds at the root.")
    node_rounds: int = option(default=1, kind=Whole(0, words="a number of rounds"), help="Cut rounds in other nodes.")
    tangent_rounds: int = option(
        default=30, kind=Whole(1, words="a number of rounds"), help="Rounds of tangents after the last cut of a node."
    )
    stall: float = option(
        default=0.01, kind=OPEN_SHARE,
        help="Cut rounds at the root end when three in a row raise the bound by less than this share of the gap.",
    )  # fmt: skip
    root_violation: float = option(
        default=1e-4, kind=Number(0, least_open=True), help="Violation from which a hull cut is taken at the root."
    )
    node_violation: float = option(
        default=1e-3, kind=Number(0, least_open=True), help="Violation from which a hull cut is taken in other nodes."
    )
    dive: float = option(
        default=0.05, kind=Number(0, 1),
        help="A child is next where its bound lies within this share of the gap from the best bound of open nodes.",
    )  # fmt: skip
    held_solves: int = option(
        default=4, kind=Whole(0, words="a number of solves"),
        help="Solves in a row with the incumbent's ReLU states held, each of which may give a better incumbent.",
    )  # fmt: skip


def _search(given: Any) -> Any:
    if isinstance(given, TreeSearch) or given in ("solver", "auto"):
        return given
    if given == "tree":
        return TreeSearch()
    raise ValueError


SEARCH = Made(f"are {', '.join(SEARCHES)} and a TreeSearch", _search)
"""How programs are searched: the kind of a field that becomes "solver", "auto" or a :class:`TreeSearch`."""


def as_search(given: str | TreeSearch, tangents: bool) -> TreeSearch | None:
    """The package's search tree, None where the solver's own tree is to search.

    Parameters
    ----------
    given : {"solver", "tree", "auto"} or TreeSearch
        "tree" is a TreeSearch with its defaults. "auto" is one where ``tangents`` is true, else "solver".
    tangents : bool
        Whether the loss enters by tangents, in a sound gate. The solver's tree begins anew in each round
        of tangents. Without rounds it begins once, and its cuts and propagation prove more.

    Returns
    -------
    TreeSearch or None
        The options of the package's tree.

    Raises
    ------
    InputError
        For anything else.
    """
    try:
        found = SEARCH.take(given)
    except ValueError:
        raise InputError(f"search: got {given!r}, accepted {SEARCH.accepted}") from None
    if found == "auto" and tangents:
        return TreeSearch()
    return found if isinstance(found, TreeSearch) else None


def _callable(given: Any) -> Any:
    if not isinstance(given, bool) and not callable(given):
        raise ValueError
    return given


@options
class Run(Checked):
    """Where and how long programs are solved, and where progress is reported.

    Examples
    --------
    >>> Run(jobs=2, total_time_limit=60.0)
    Run(jobs=2, total_time_limit=60.0)
    """

    jobs: int | None = option(
        default=None, kind=Whole(1, words="a number of programs"), flag="--jobs",
        shown="1; with --engine dask the threads of the cluster",
        help="Programs that are solved at a time, with batches, per-class and decoupled.",
    )  # fmt: skip
    engine: str = option(
        default=ENGINES[0], kind=Choice(ENGINES), flag="--engine",
        help="Where: in processes of this machine, or in the dask cluster of --scheduler.",
    )  # fmt: skip
    scheduler: str | None = option(
        default=None, kind=Text("the address of a dask cluster"), flag="--scheduler",
        help="Address of a running dask cluster, such as tcp://host:8786.",
    )  # fmt: skip
    store: str | None = option(
        default=None, kind=File(), flag="--store", shown="OUT.runs.jsonl, until the scores are saved",
        help="Add each finished program to this file, take from it those that it has, and keep it.",
    )  # fmt: skip
    device: str = option(
        default="cpu", kind=Text("a device of torch"), flag="--device",
        help="Device of torch, layer by layer: cpu, cuda or auto.",
    )  # fmt: skip
    progress: bool | Callable[[int, int, str], None] | None = option(
        default=None, kind=Made("are True, False and a function of (done, planned, line)", _callable),
        shown="a bar in a terminal or a notebook",
        help="Called with programs finished, programs, and a line of text; True writes the lines to standard error.",
    )  # fmt: skip
    total_time_limit: float | None = option(
        default=None, kind=SECONDS, flag="--total-time-limit",
        help="Seconds for the whole run, reading included, which then ends with what it has.",
    )  # fmt: skip

    @property
    def workers(self) -> Workers:
        """Where the programs are solved."""
        from oamip_model.solving.workers.parallel import Workers

        return Workers(self.jobs, self.engine, self.scheduler)

    @property
    def tell(self) -> Callable[[int, int, str], None] | None:
        """The function that is called with progress, None where there is none."""
        if self.progress is None or isinstance(self.progress, bool):
            return _to_stderr if self.progress else None
        return self.progress


def _to_stderr(done: int, planned: int, line: str) -> None:
    sys.stderr.write(f"{done}/{planned}: {line}\n")
