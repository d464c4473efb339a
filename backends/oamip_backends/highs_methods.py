"""The methods by which HiGHS solves, and its pool of threads.

A linear program is solved by the method that suits it.
"""

from __future__ import annotations

import threading
from typing import Any

from oamip_backends.shared.interrupts import Interrupts
from oamip_model.solving.protocol import InputError, SolverError

LARGE = 8_000
"""Rows of a linear program above which an interior point method solves it, where there is no basis. Seen with 1.15.1: a
published relaxation takes 2 s by it and 7 s by simplex. Below some 5,000 rows simplex is quicker."""

COLD_ITERATIONS = 5_000
"""Simplex iterations after which an interior point method takes over in a smaller program without a basis. Seen with
1.15.1: 21 s in place of more than 7 minutes, in a published program with its decided ReLUs."""

WARM_ITERATIONS = 5_000
"""Simplex iterations from a basis after which a linear program of a search tree is solved from scratch. Seen with
1.15.1: more than 200,000 after a change of one bound, without an end, where most take fewer than 1,000."""

# HiGHS has one pool of threads for a process. Changing its size while a solve runs would destroy the pool in use.
_pool = threading.Lock()
_pool_size = 0
_running = 0


class Methods:
    """Runs one model of HiGHS.

    Parameters
    ----------
    library : module
        highspy.
    highs : highspy.Highs
        The model.
    threads : int, optional
        Threads of its solves, None for HiGHS's own choice.

    Attributes
    ----------
    short : bool
        Whether many linear programs with few iterations each are expected.
    """

    def __init__(self, library: Any, highs: Any, threads: int | None) -> None:
        self._lib, self._highs, self._threads = library, highs, threads
        self.interrupts = Interrupts()
        self.short = False

    def accept(self, status: Any, what: str, harmless: bool = False) -> None:
        """Raise SolverError unless HiGHS accepted what it was given.

        A warning is accepted only where it is harmless. This holds for coefficients that are left
        out, of which those that matter are refused before (:mod:`oamip_backends.shared.handover`).
        It also holds for starts and bases that do not fit, which are hints.

        Parameters
        ----------
        status : highspy.HighsStatus
            The status that HiGHS returned.
        what : str
            What it was given, for the message.
        harmless : bool, default False
            Whether a warning is accepted.

        Raises
        ------
        SolverError
            For an error, and for a warning that is not harmless.
        """
        if status == self._lib.HighsStatus.kError:
            raise SolverError(f"highs: {what} was refused")
        if status == self._lib.HighsStatus.kWarning and not harmless:
            raise SolverError(f"highs: {what} was taken with a warning: something of it was changed or left out")

    def option(self, name: str, value: object) -> None:
        """Set an option of HiGHS.

        Parameters
        ----------
        name : str
            The name of the option.
        value : object
            Its value.

        Raises
        ------
        SolverError
            Where HiGHS does not accept it.
        """
        self.accept(self._highs.setOptionValue(name, value), f"option {name}={value}")

    def linear(self, interior_point: bool) -> Any:
        """Solve a linear program.

        Parameters
        ----------
        interior_point : bool
            Use an interior point method without presolve. Then the answer is independent of the
            usual method.

        Returns
        -------
        highspy.HighsStatus
            The status of the run.
        """
        if interior_point:
            self._forget()
            return self._with(lambda: self._with(self.run, "presolve", "off", "choose"), "solver", "ipm", "choose")
        status = self._warm() if self._highs.getBasis().valid else self._cold()
        return self._again(status)

    def integer(self) -> Any:
        """Solve a mixed-integer program.

        Returns
        -------
        highspy.HighsStatus
            The status of the run.
        """
        return self._again(self.run())

    def _with(self, run: Any, name: str, value: str, before: str) -> Any:
        """Run with an option set, and restore its value."""
        self.option(name, value)
        try:
            return run()
        finally:
            self.option(name, before)

    def _warm(self) -> Any:
        """Solve from the last basis, and from scratch where that takes too many iterations."""
        if not self.short:
            return self.run()
        status = self._limited(WARM_ITERATIONS)
        if self._out_of_iterations():
            self._forget()
            status = self._cold()
        return status

    def _cold(self) -> Any:
        """Solve without a basis: by simplex, or by an interior point method where simplex takes long.

        The crossover after the interior point gives a basis, too, from which simplex continues. It
        takes little beside the interior point itself: seen with 1.15.1, some 25 iterations on
        30,000 rows.
        """
        if self._highs.getNumRow() <= LARGE:
            status = self._limited(COLD_ITERATIONS)
            if not self._out_of_iterations():
                return status
            self._forget()
        return self._with(self.run, "solver", "ipm", "choose")

    def _limited(self, iterations: int) -> Any:
        """Solve by simplex with at most so many iterations."""
        self.option("simplex_iteration_limit", iterations)
        status = self.run()
        self.option("simplex_iteration_limit", self._lib.kHighsIInf)
        return status

    def _out_of_iterations(self) -> bool:
        """Whether the last run ended at its limit of iterations."""
        stopped = self._highs.getModelStatus() == self._lib.HighsModelStatus.kIterationLimit
        return bool(stopped and not self.interrupts.pressed)

    def _forget(self) -> None:
        """Discard the last basis."""
        self.accept(self._highs.clearSolver(), "forgetting the basis")

    def _again(self, status: Any) -> Any:
        """Solve without presolve where HiGHS failed and says nothing about the program.

        Seen with 1.15.1: after presolve, dual simplex fails on a program that it solves without.
        """
        unset = self._highs.getModelStatus() == self._lib.HighsModelStatus.kNotset
        if status == self._lib.HighsStatus.kError and unset and not self.interrupts.pressed:
            status = self._with(self.run, "presolve", "off", "choose")
        return status

    def run(self) -> Any:
        """Run HiGHS by its options, with the threads of this model.

        Returns
        -------
        highspy.HighsStatus
            The status of the run.

        Raises
        ------
        InputError
            For another number of threads than a solve that is running in this process.
        """
        global _pool_size, _running
        wanted = -1 if self._threads is None else int(self._threads)
        with _pool:
            if wanted != _pool_size:
                if _running:
                    raise InputError(
                        f"threads: got {self._threads} while another solve runs in this process, "
                        "and HiGHS has one number of threads for all: use processes"
                    )
                self._lib.Highs.resetGlobalScheduler(True)
                _pool_size = wanted
            _running += 1
        try:
            return self._highs.run()
        finally:
            with _pool:
                _running -= 1
