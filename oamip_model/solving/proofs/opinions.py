"""A second opinion on what a solver claims of a linear program.

It is asked for where the claim has no proof: that there is no point, or no optimum (mathematics:cert-6).

Solvers have been seen to call programs infeasible that have points: HiGHS 1.15 does so after the postsolve of a badly
scaled one. Such a claim is passed on where another method, or another solver, agrees. Nothing here knows a solver.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from oamip_model.solving.protocol import Solution, Status

TROUBLE = "numerical trouble"
"""What a message begins with where solvers contradict each other, or nobody decides."""
_CLAIMS = (Status.INFEASIBLE, Status.UNBOUNDED)


def needs_opinion(found: Solution) -> bool:
    """Whether a linear program's solution is a claim to ask other opinions about."""
    return found.status in _CLAIMS and not found.certified


def settled(claim: Solution, opinions: Iterable[Solution], refuted: str = "") -> Solution:
    """What is passed on of a claim that a linear program is infeasible, or unbounded.

    Parameters
    ----------
    claim : Solution
        What the solver says. It proves nothing.
    opinions : iterable of Solution
        Answers of other methods and solvers to the same program, asked for one by one until one decides.
    refuted : str, default ""
        Why the claim is known to be false, where it is. Then nobody's agreement confirms it.

    Returns
    -------
    Solution
        The claim where an opinion agrees, and an opinion that has a point or a proof. Otherwise a solution without a
        point, whose message says that nothing decides.

    Examples
    --------
    >>> import numpy as np
    >>> claim = Solution(Status.INFEASIBLE, "highs", "1")
    >>> settled(claim, [Solution(Status.OPTIMAL, "cbc", "2", x=np.ones(3))]).message
    'numerical trouble: highs claims that the program is infeasible, cbc has a point'
    >>> settled(claim, []).message
    'numerical trouble: highs claims that the program is infeasible without a proof, and no other answer decides'
    """
    told = f"{TROUBLE}: {claim.solver} claims that the program is {claim.status.value}"
    seconds, doubts = claim.seconds, [refuted] if refuted else []
    for opinion in opinions:
        seconds += opinion.seconds
        if opinion.interrupted:
            return replace(opinion, seconds=seconds)
        if opinion.status is claim.status and not refuted:
            return replace(claim, seconds=seconds, certified=opinion.certified, ray=opinion.ray)
        if opinion.x is not None or (opinion.status is Status.INFEASIBLE and opinion.certified):
            what = "proves that it has no point" if opinion.x is None else "has a point"
            message = "; ".join(part for part in (f"{told}, {opinion.solver} {what}", opinion.message) if part)
            return replace(opinion, seconds=seconds, message=message)
        doubts.append(f"{opinion.solver}: {opinion.message or opinion.status.value}")
    why = f" ({'; '.join(doubts)})" if doubts else ""
    return replace(
        claim, status=Status.NO_SOLUTION, seconds=seconds, ray=None,
        message=f"{told} without a proof, and no other answer decides{why}",
    )  # fmt: skip
