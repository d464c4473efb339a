"""What is made of a solver's claims in the rounds of a solve."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import oamip_model as om
from oamip_model.solving.protocol import Options, Solution, Status
from oamip_model.solving.registry import get_backend


class Denies:
    """HiGHS, but every program with integral columns is infeasible to it."""

    name, licence = "denies", "none"

    def __init__(self) -> None:
        self.highs: Any = get_backend("highs")
        self.capabilities = self.highs.capabilities

    def version(self) -> str:
        return "1"

    def check(self) -> None:
        """Always there."""

    def solve(self, arrays: Any, options: Options, start: Any = None) -> Solution:
        if not arrays.is_mip:
            found: Solution = self.highs.solve(arrays, options, start)
            return found
        return Solution(Status.INFEASIBLE, self.name, "1")


@pytest.mark.parametrize("loss", ["hinge", "cross-entropy"])
def test_infeasible_is_not_believed_where_a_feasible_point_is_known(problem_of: Any, loss: str) -> None:
    p = problem_of("dense", 1)
    found = om.solve_instance(p.build(loss=loss, sparsity="mean"), Denies())  # type: ignore[arg-type]
    # What linear programs prove may be enough without the claim.
    assert found.status == ("optimal" if found.certified and found.gap <= 1e-4 else "feasible")
    assert found.message.startswith("denies claims that the program is infeasible, but a feasible point is known")
    assert found.scores is not None
    true = om.solve_instance(p.build(loss=loss, sparsity="mean"))
    assert found.objective >= true.objective - 1e-6


def test_infeasible_is_believed_where_none_is_known(problem_of: Any) -> None:
    p = problem_of("dense", 1)
    wrong = 1 - np.argmax(p.network.replay(p.images), axis=1).clip(0, 1)
    instance = om.build_instance(p.network, p.images, wrong, om.Formulation(loss="margin", margin=1e4, sparsity="mean"))
    found = om.solve_instance(instance)
    assert found.status == "infeasible"
    assert found.objective is None


def test_a_relaxation_that_is_cut_short_is_not_called_optimal(problem_of: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    p = problem_of("conv", 1)
    options = {"relaxation": "hull", "loss": "hinge", "relaxed": True, "sparsity": "mean"}
    whole = om.solve_instance(p.build(**options))
    assert whole.status == "optimal"
    assert whole.cuts > 0
    from oamip_model.solving.rounds import Rounds

    left = Rounds.left
    monkeypatch.setattr(Rounds, "left", lambda self: left(self) if self.rounds == 0 else 0.0)
    short = om.solve_instance(p.build(**options))
    assert short.status == "feasible"
    assert short.message == "the time limit came before a proof"
    assert short.bound <= whole.bound + 1e-6
