"""How HiGHS is run: on the pool of threads of this process, and a linear program by the method that suits it."""

from __future__ import annotations

import threading
from typing import Any

from oamip_backends.shared.interrupts import Interrupts
from oamip_model.solving.protocol import InputError, SolverError

LARGE = 8_000
"""Rows of a linear program without a basis from which an interior point method begins. Seen with 1.15.1: a published
relaxation takes it 2 s where simplex takes 7, and below some 5,000 rows simplex is the quicker one."""

COLD_ITERATIONS = 5_000
"""Simplex iterations of a smaller one after which an interior point method begins it anew. Seen with 1.15.1: 21 s in
place of more than 7 minutes, where a published program keeps its columns."""

WARM_ITERATIONS = 5_000
"""Simplex iterations from a basis after which a search tree's linear program is solved anew. Seen with 1.15.1: more
than 200,000 after a change of one bound, without an end, where most take fewer than 1,000."""

# HiGHS keeps one pool of threads per process. Changing its size while a solve runs would pull the pool from under it.
_pool = threading.Lock()
_pool_size = 0
_running = 0


class Methods:
    """Runs one model of HiGHS; ``short`` says that many linear programs with few iterations each are expected."""

    def __init__(self, library: Any, highs: Any, threads: int | None) -> None:
        self._lib, self._highs, self._threads = library, highs, threads
        self.interrupts = Interrupts()
        self.short = False

    def accept(self, status: Any, what: str, harmless: bool = False) -> None:
        """Raise SolverError unless HiGHS took it; a warning counts as taken only where that is known to be harmless.

        Harmless are coefficients that are left out, of which those that matter are refused before
        (:mod:`oamip_backends.shared.handover`), and
        starts and bases that do not fit, which are hints.
        """
        if status == self._lib.HighsStatus.kError:
            raise SolverError(f"highs: {what} was refused")
        if status == self._lib.HighsStatus.kWarning and not harmless:
            raise SolverError(f"highs: {what} was taken with a warning: something of it was changed or left out")

    def option(self, name: str, value: object) -> None:
        """Set an option. Raises SolverError where HiGHS does not take it."""
        self.accept(self._highs.setOptionValue(name, value), f"option {name}={value}")

    def linear(self, interior_point: bool) -> Any:
        """Solve a linear program.

        interior_point: by that method without presolve, so that the answer owes little to how it was found before.
        """
        if interior_point:
            self._forget()
            return self._with(lambda: self._with(self.run, "presolve", "off", "choose"), "solver", "ipm", "choose")
        status = self._warm() if self._highs.getBasis().valid else self._cold()
        return self._again(status)

    def integer(self) -> Any:
        """Solve a mixed-integer program."""
        return self._again(self.run())

    def _with(self, run: Any, name: str, value: str, before: str) -> Any:
        self.option(name, value)
        try:
            return run()
        finally:
            self.option(name, before)

    def _warm(self) -> Any:
        """Solve from the last basis, or anew where that takes far longer than a start from none."""
        if not self.short:
            return self.run()
        status = self._limited(WARM_ITERATIONS)
        if self._out_of_iterations():
            self._forget()
            status = self._cold()
        return status

    def _cold(self) -> Any:
        """Solve without a basis: by simplex, or, where that takes long, by an interior point method.

        The crossover behind the interior point gives a basis, too, so that simplex goes on from it. It takes little
        beside the interior point itself: seen with 1.15.1, some 25 iterations on 30,000 rows.
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
        stopped = self._highs.getModelStatus() == self._lib.HighsModelStatus.kIterationLimit
        return bool(stopped and not self.interrupts.pressed)

    def _forget(self) -> None:
        self.accept(self._highs.clearSolver(), "forgetting the basis")

    def _again(self, status: Any) -> Any:
        """Solve without presolve where HiGHS failed without a word on the program.

        Seen with 1.15.1: dual simplex after presolve ends a program that it can solve without.
        """
        unset = self._highs.getModelStatus() == self._lib.HighsModelStatus.kNotset
        if status == self._lib.HighsStatus.kError and unset and not self.interrupts.pressed:
            status = self._with(self.run, "presolve", "off", "choose")
        return status

    def run(self) -> Any:
        """Run HiGHS by its options, with the threads that this model is to have."""
        global _pool_size, _running
        wanted = -1 if self._threads is None else int(self._threads)
        with _pool:
            if wanted != _pool_size:
                if _running:
                    raise InputError(
                        f"threads: got {self._threads} while another solve runs in this process, "
                        "and HiGHS has one count of threads for all: use processes"
                    )
                self._lib.Highs.resetGlobalScheduler(True)
                _pool_size = wanted
            _running += 1
        try:
            return self._highs.run()
        finally:
            with _pool:
                _running -= 1
