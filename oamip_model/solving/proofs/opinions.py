"""Second opinions on claims about a linear program (mathematics:cert-6).

They are asked for where a solver claims, without a proof, that there is no point or no optimum.

Solvers have been seen to call programs infeasible that have points: HiGHS 1.15 does so after the
postsolve of a badly scaled one. Such a claim is passed on where another method, or another solver,
agrees. Nothing here depends on a solver.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from oamip_model.solving.protocol import Solution, Status

TROUBLE = "numerical trouble"
"""The beginning of a message where solvers contradict each other, or none decides."""
_CLAIMS = (Status.INFEASIBLE, Status.UNBOUNDED)


def needs_opinion(found: Solution) -> bool:
    """Whether a linear program's solution is a claim that needs a second opinion.

    Parameters
    ----------
    found : Solution
        The answer of a solver.

    Returns
    -------
    bool
        Whether it claims, without a proof, that there is no point or no optimum.
    """
    return found.status in _CLAIMS and not found.certified


def settled(claim: Solution, opinions: Iterable[Solution], refuted: str = "") -> Solution:
    """The solution to pass on after a claim "infeasible" or "unbounded".

    Parameters
    ----------
    claim : Solution
        The answer of the solver, without a proof.
    opinions : iterable of Solution
        Answers of other methods and solvers to the same program. They are computed one by one until
        one decides.
    refuted : str, default ""
        Why the claim is known to be false, where it is. Then no agreement confirms it.

    Returns
    -------
    Solution
        The claim where an opinion agrees, and an opinion that has a point or a proof. Otherwise a
        solution without a point, whose message says that none decides.

    Examples
    --------
    >>> import numpy as np
    >>> claim = Solution(Status.INFEASIBLE, "highs", "1")
    >>> settled(claim, [Solution(Status.OPTIMAL, "cbc", "2", x=np.ones(3))]).message
    'numerical trouble: highs claims that the program is infeasible, cbc has a point'
    >>> settled(claim, []).message
    'numerical trouble: highs claims that the program is infeasible without a proof, and no other answer decides'
    """
    claimed = f"{TROUBLE}: {claim.solver} claims that the program is {claim.status.value}"
    seconds, doubts = claim.seconds, [refuted] if refuted else []
    for opinion in opinions:
        seconds += opinion.seconds
        if opinion.interrupted:
            return replace(opinion, seconds=seconds)
        if opinion.status is claim.status and not refuted:
            return replace(claim, seconds=seconds, certified=opinion.certified, ray=opinion.ray)
        if opinion.x is not None or (opinion.status is Status.INFEASIBLE and opinion.certified):
            what = "proves that it has no point" if opinion.x is None else "has a point"
            message = "; ".join(part for part in (f"{claimed}, {opinion.solver} {what}", opinion.message) if part)
            return replace(opinion, seconds=seconds, message=message)
        doubts.append(f"{opinion.solver}: {opinion.message or opinion.status.value}")
    why = f" ({'; '.join(doubts)})" if doubts else ""
    return replace(
        claim, status=Status.NO_SOLUTION, seconds=seconds, ray=None,
        message=f"{claimed} without a proof, and no other answer decides{why}",
    )  # fmt: skip
