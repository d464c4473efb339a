"""What happens while a program is solved, as data.

Progress, traces and the benchmark read the same events.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Literal, TypeAlias

Kind = Literal["round", "relaxation", "node", "image", "heuristic", "oracle call"]
"""A round of tangents and cuts of the program, or of its relaxation. Others are nodes of the search
tree, an image's own program, a round of the heuristic, and a call of the level method's oracle."""


@dataclass(frozen=True, kw_only=True)
class Event:
    """One step of a solve.

    Its text is a line for people; programs read its fields.

    Parameters
    ----------
    kind : str
        What happened.
    number : int
        Which of its kind, from 1: a round, a node, an image, a call.
    seconds : float
        Seconds since the solve began.
    objective : float or None
        Objective of the incumbent after the step. None where there is none, or where the step has none of its own.
    bound : float or None
        Dual bound after the step. None where the step proves nothing.
    nodes : int or None
        Nodes that are open, for the kind "node"; images in all, for the kind "image".
    program : str
        Which program of several, empty for the only one.

    Examples
    --------
    >>> print(Event(kind="round", number=2, seconds=0.1, objective=0.5, bound=0.25))
    round 2 (program): objective 0.5, bound 0.25
    >>> print(Event(kind="node", number=40, seconds=0.1, bound=0.25, nodes=7, program="weight 5"))
    weight 5, node 40 (7 open): objective none, bound 0.25
    """

    kind: Kind
    number: int
    seconds: float
    objective: float | None = None
    bound: float | None = None
    nodes: int | None = None
    program: str = ""

    def __str__(self) -> str:
        """The event as a line of progress."""
        step = {
            "round": f"round {self.number} (program)",
            "relaxation": f"round {self.number} (relaxation)",
            "node": f"node {self.number} ({self.nodes} open)",
            "image": f"image {self.number} of {self.nodes} alone",
            "heuristic": f"heuristic, round {self.number}",
            "oracle call": f"oracle call {self.number}",
        }[self.kind]
        known = []
        if self.kind != "image":
            known.append("objective " + ("none" if self.objective is None else f"{self.objective:.6g}"))
        if self.bound is not None:
            known.append(f"bound {self.bound:.6g}")
        return (f"{self.program}, " if self.program else "") + f"{step}: {', '.join(known)}"


Listener: TypeAlias = Callable[[Event], None]
"""Who is called with each event of a solve."""


def in_lines(tell: Callable[[str], None] | None, program: str = "") -> Listener | None:
    """A listener that passes events on as lines, None without one who hears them.

    Parameters
    ----------
    tell : callable or None
        Who is called with each line.
    program : str
        Which program of several the events are of.

    Examples
    --------
    >>> listener = in_lines(print, "weight 5")
    >>> listener(Event(kind="oracle call", number=3, seconds=0.1, objective=0.5, bound=0.25))
    weight 5, oracle call 3: objective 0.5, bound 0.25
    """
    if tell is None:
        return None
    return lambda event: tell(str(replace(event, program=program)))
