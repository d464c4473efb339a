"""The mixed-integer subproblem of one layer, with any head that gives a network.

It takes some images, and has integer ReLU states.
"""

from __future__ import annotations

import time
from abc import abstractmethod
from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, ClassVar

import numpy as np
from numpy.typing import NDArray

from oamip_model.clock import Deadline, TimeIsUp, within
from oamip_model.data.weights import mean_one
from oamip_model.errors import SolverError
from oamip_model.formulation import Formulation
from oamip_model.formulation.gates import gate_for
from oamip_model.network.maps import Array
from oamip_model.runs.events import in_lines
from oamip_model.scoring.layerwise.heads.auxiliary import AuxiliaryHead
from oamip_model.scoring.layerwise.heads.base import Head
from oamip_model.scoring.layerwise.heads.columns import is_affine_after
from oamip_model.scoring.layerwise.heads.convex_heads import Pattern
from oamip_model.scoring.layerwise.heads.tail import Tail, named_scores
from oamip_model.scoring.layerwise.plan import LayerOutcome
from oamip_model.scoring.layerwise.task import LayerTask
from oamip_model.scoring.methods import Joint
from oamip_model.scoring.program_result import ReplayCheck, TrainedHead
from oamip_model.solving.options import Solver
from oamip_model.solving.protocol import Status
from oamip_model.torchnet.layers import TorchLayers

if TYPE_CHECKING:
    from oamip_model.scoring.joint.program import ProgramOutcome


class MixedHead(Head):
    """A head with ReLUs after the score, so that the layer's program is mixed-integer."""

    mixed: ClassVar[bool] = True

    def train(self, task: LayerTask, layers: TorchLayers) -> AuxiliaryHead | None:
        """A classifier that is trained for the layer on all images.

        None where the network itself follows.
        """
        return None

    @abstractmethod
    def tail(self, part: LayerTask, trained: AuxiliaryHead | None) -> Tail:
        """The network after the layer, and its inputs for the images of the program.

        part: the task with these images alone; trained: what :meth:`train` gave.
        """

    def solve(self, task: LayerTask, progress: Callable[[str], None] | None = None) -> LayerOutcome:
        """See :class:`Head`."""
        return solve_mixed_layer(task, self, progress)


def solve_mixed_layer(task: LayerTask, kind: MixedHead, progress: Callable[[str], None] | None = None) -> LayerOutcome:
    """The scores of one layer by a mixed-integer program of its tail.

    It begins from the convex solution.

    The program takes ``plan.program_images`` of the images; all of them train an auxiliary head, and choose the weight
    where an amount is given. Fractional scores of a group that a residual addition ties together mean what the gate
    for continuous scores says, those of other groups multiply. Where nothing but the loss is non-linear after the
    score, the program is convex: then it takes all images, and proves more.

    Raises SolverError where a program has no solution, and KeyboardInterrupt on Ctrl-C.
    """
    layers = task.torch_layers()
    if is_affine_after(layers, task.group):
        return Pattern().solve(replace(task, plan=replace(task.plan, head="pattern")), progress)
    began = time.monotonic()
    with within(Deadline(task.plan.time_limit)):
        head = kind.train(task, layers)
    headed = time.monotonic() - began
    rows = even_rows(task.labels, task.plan.program_images, task.plan.seed)
    shares = None if task.image_weights is None else mean_one(task.image_weights[rows])
    part = replace(task, images=task.images[rows], labels=task.labels[rows], image_weights=shares)
    tail = kind.tail(part, head)
    weights = task.weights
    found = [_program(part, tail, weight, head is not None, rows, progress) for weight in weights]
    scores_of = [(solved.scores or {})[task.name] for solved in found]
    trained = None if head is None else TrainedHead(head.accuracy, head.epochs, head.seed, head.features)

    def outcome(number: int) -> LayerOutcome:
        solved, scores = found[number], scores_of[number]
        replayed = solved.result.replayed_loss
        if head is not None:
            replayed = part.measure(layers, scores).loss
        check = solved.result.replay if head is not None else _check(part, tail, scores, solved.result.replay)
        result = replace(
            solved.result, replay=check, replayed_loss=replayed, weight=weights[number], layer=task.name,
            trained=trained, seconds=solved.result.seconds | {"head": headed},
        )  # fmt: skip
        return LayerOutcome(scores, task.cut(scores), result, solved.solver, solved.version, task.plan.head)

    return task.settle(layers, scores_of, outcome)


def even_rows(labels: NDArray[np.int64], count: int, seed: int) -> NDArray[np.int64]:
    """Positions of ``count`` images, spread evenly over the classes.

    They are all images if there are fewer, and as even as the classes allow.

    Examples
    --------
    >>> rows = even_rows(np.array([0, 0, 0, 0, 1, 1]), 4, seed=0)
    >>> np.bincount(np.array([0, 0, 0, 0, 1, 1])[rows]).tolist()
    [2, 2]
    """
    order = np.random.default_rng(seed).permutation(len(labels))
    place = np.empty(len(labels), dtype=np.int64)
    for label in np.unique(labels):
        mine = order[labels[order] == label]
        place[mine] = np.arange(len(mine))
    return np.sort(order[np.argsort(place[order], kind="stable")][:count])


def _program(
    task: LayerTask,
    tail: Tail,
    weight: float,
    has_head: bool,
    rows: NDArray[np.int64],
    progress: Callable[[str], None] | None,
) -> ProgramOutcome:
    """The program of one weight, from the solution of its convex approximation: every ReLU state held."""
    # Layer by layer methods know all heads by name, and only these need Pyomo, which is slow to load.
    from oamip_model.scoring.joint.program import Programs, solve_program

    plan = task.plan
    pattern = replace(plan, head="pattern", weight=weight, amount=None, path=(), scope="layer")
    near = replace(task, plan=pattern)
    if has_head:
        near = replace(near, network=tail.network, images=tail.inputs, group=0, others={})
    start = {task.name: Pattern().solve(near, progress).scores}
    kind = "binary" if plan.binary else "continuous"
    program = Formulation(
        gate=gate_for(kind), scores=kind,
        sparsity=plan.sparsity, weight=weight, relaxation=plan.relaxation, loss=plan.loss, margin=plan.margin,
    )  # fmt: skip
    method = Joint(program, search="solver", bounds=plan.bounds, heuristic=False)
    solver = Solver(plan.solver, tolerance=plan.tolerance, time_limit=plan.time_limit, seed=plan.seed)
    told = in_lines(progress, f"weight {weight:g}")
    asked = Programs(tail.network, tail.inputs, task.labels, rows, method, solver, task.image_weights)
    outcome = solve_program(asked, told, start)
    if outcome.interrupted:
        raise KeyboardInterrupt
    if outcome.scores is None and outcome.result.status == Status.NO_SOLUTION:
        raise TimeIsUp(outcome.result.message)
    if outcome.scores is None:
        raise SolverError(f"{outcome.solver}: layer {task.name}: the program ended as {outcome.result.status}")
    return outcome


def _check(task: LayerTask, tail: Tail, scores: Array, program: ReplayCheck | None) -> ReplayCheck | None:
    """The program's logits against the original network's: its difference from the tail, and the tail's from that."""
    if program is None:
        return None
    ours = tail.network.replay(tail.inputs, {task.name: scores})
    theirs = task.network.replay(task.images, named_scores(task.network, {**task.others, task.group: scores}))
    difference = program.logits + float(np.abs(ours - theirs).max())
    return replace(program, logits=difference, passed=difference <= program.tolerance)
