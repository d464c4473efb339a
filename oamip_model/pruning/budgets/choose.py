"""Which units are kept, by a rule or by a budget."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from oamip_model.errors import InputError
from oamip_model.network.counting.choices import Count, count_choices
from oamip_model.network.counting.owners import Ids
from oamip_model.network.maps import Array
from oamip_model.network.norms import unit_norms
from oamip_model.network.types import Network
from oamip_model.pruning.budgets.blocks import removal_steps
from oamip_model.pruning.budgets.options import LIMITS, WORDS, Budget, Plan, Timed
from oamip_model.pruning.budgets.program import Answer, solve_budget
from oamip_model.pruning.budgets.timed import UNIT, Clocks, timed_choices, without
from oamip_model.scoring.result import Scores
from oamip_model.scoring.select import Amount, AnyScores, Scope, Selection, Threshold, check_scores
from oamip_model.scoring.select import choose_units as choose_by_rule
from oamip_model.scoring.select import prunable_units as prunable_units
from oamip_model.solving.options import as_solver

_TIMED_TRIES = 6
"""Plans that are measured at most."""


@dataclass(frozen=True)
class Budgeted(Selection):
    """Units that a budget's plan keeps and removes."""

    plan: Plan | None = None


def choose_units(
    scores: AnyScores,
    network: Network,
    *,
    threshold: Threshold | None = None,
    amount: Amount | Budget | None = None,
    scope: Scope = "layer",
) -> Selection:
    """The units that are kept and removed, by one of two rules.

    The units with the smallest scores are removed. Scores within 1e-6 of each other tie. Then the unit
    with the smaller product of incoming and outgoing weight norms is removed first, relative to its
    layer's largest. The earlier layer and the smaller index decide the remaining ties. The best
    unit of each
    layer is always kept.

    Parameters
    ----------
    scores : Scores or mapping of str to array
        Scores of the units by group.
    network : Network
        The network that they belong to.
    threshold : float or "mean", optional
        Remove units whose score is strictly below it, which is the paper's rule, or below the mean
        score of their layer.
    amount : float, mapping of str to float, or Budget, optional
        Remove this share of each layer's units, or a share by layer name; layers that are not named are
        kept whole. The count is rounded to the nearest, halves down. With a :class:`oamip_model.Budget`
        an integer program finds how many units of each layer are removed.
    scope : {"layer", "global"}, default "layer"
        Whether an amount is a share of each layer, or of all units together.

    Returns
    -------
    Selection
        The units that are kept and removed, and the plan of a budget.

    Raises
    ------
    InputError
        Where not exactly one of the two rules is given, or one is out of range. Also where a budget
        cannot be met, or a layer is unknown or missing. Likewise where scores are of the wrong
        number, NaN or outside
        [0, 1], or belong to another network.
    SolverError
        Where a budget's solver finds no plan.

    Examples
    --------
    >>> import torch, oamip_model as om
    >>> module = torch.nn.Sequential(torch.nn.Linear(4, 3), torch.nn.ReLU(), torch.nn.Linear(3, 2)).eval()
    >>> network = om.read_network(module, input_shape=(4,))
    >>> chosen = choose_units({"0": [0.0, 1.0, 0.05]}, network, amount=om.Budget(macs=0.5))
    >>> chosen.keep["0"].tolist(), chosen.plan.after.macs, network.macs
    ([False, True, False], 6, 18)
    """
    if not isinstance(amount, Budget):
        return choose_by_rule(scores, network, threshold=threshold, amount=amount, scope=scope)
    if threshold is not None:
        raise InputError("prune: exactly one of threshold and amount is needed")
    if scope != "layer":
        raise InputError(f"scope: got {scope!r}, but a budget is of the whole network already")
    return _within(amount, scores, network)


def _within(budget: Budget, scores: AnyScores, network: Network) -> Budgeted:
    values = check_scores(scores, network)
    norms = {name: norm / (norm.max() or 1.0) for name, norm in unit_norms(network).items()}
    steps = removal_steps(network, values, norms)
    kept = _choices(budget, network, steps)
    counts = count_choices(network, kept)
    limits = {name: limit for name in LIMITS if (limit := budget.limit(name, getattr(network.size, name))) is not None}
    smallest = counts.at([len(masks) - 1 for masks in kept.values()])
    for name, limit in limits.items():
        least, whole = getattr(smallest, name), getattr(network.size, name)
        if least > limit:
            raise InputError(
                f"{name}: got {getattr(budget, name):g}, that is {limit}, but the smallest network that the limits "
                f"allow has {least} {WORDS[name]}, {least / whole:.3g} of all"
            )
    errors = _errors(scores, network)
    costs = [_cost(values[name], masks, errors.get(name)) for name, masks in kept.items()]
    pairs = [(getattr(counts, name), limit) for name, limit in limits.items()]
    solver = as_solver(budget.solver)
    timed = None
    if budget.milliseconds is None:
        answer = solve_budget(costs, pairs, solver)
    else:
        clocks = Clocks(budget.timed_in, budget.timed_images)
        answer, timed = _within_time(
            budget.milliseconds, clocks, network, kept, lambda more: solve_budget(costs, [*pairs, more], solver)
        )
    keep = _at(kept, answer.choices)
    plan = Plan(
        {name: int(mask.sum()) for name, mask in keep.items()}, network.size, counts.at(answer.choices), limits,
        answer.cost, answer.bound, answer.optimal, tuple(errors), answer.solver, answer.version, answer.seconds,
        timed,
    )  # fmt: skip
    return Budgeted(keep, (), plan)


def _at(kept: Mapping[str, list[NDArray[np.bool_]]], choices: Sequence[int]) -> dict[str, NDArray[np.bool_]]:
    """The masks of these choices."""
    return {name: masks[choice] for (name, masks), choice in zip(kept.items(), choices, strict=True)}


def _within_time(
    given: float,
    clocks: Clocks,
    network: Network,
    kept: Mapping[str, list[NDArray[np.bool_]]],
    solve: Callable[[tuple[Count, int]], Answer],
) -> tuple[Answer, Timed]:
    """The plan that is measured to be within the milliseconds (mathematics:budget-6).

    Tables say what a plan takes. Where its network is measured to take longer, the limit is lowered by
    that ratio, and the program is solved again.
    """
    ends = clocks.whole({"whole": network, "smallest": without(network, {name: m[-1] for name, m in kept.items()})})
    whole, least = ends["whole"], ends["smallest"]
    asked = limit = given * whole if given <= 1 else given
    count, tries = timed_choices(network, kept, clocks.parts, whole, least), 0
    while min(least, whole) <= asked and tries < _TIMED_TRIES:
        tries += 1
        answer = solve((count, max(int(asked / UNIT), count.at([len(masks) - 1 for masks in kept.values()]))))
        smaller = without(network, _at(kept, answer.choices))
        spent = clocks.whole({"before": network, "after": smaller})
        predicted = UNIT * count.at(answer.choices)
        allowed = given * spent["before"] if given <= 1 else given
        if spent["after"] <= allowed:
            return answer, Timed(
                spent["before"], spent["after"], predicted, allowed, clocks.engine, clocks.images, tries
            )
        asked = min(asked, predicted) * min(0.98, allowed / spent["after"])
    raise InputError(
        f"milliseconds: got {given:g}, that is {limit:.3g}, but the smallest network that the limits allow takes "
        f"{least:.3g} of {whole:.3g}, and {tries} plans were measured to take longer"
    )


def _choices(budget: Budget, network: Network, steps: Mapping[str, list[Ids]]) -> dict[str, list[NDArray[np.bool_]]]:
    """The masks that the program chooses from, of each group, those that keep most first."""
    found = {}
    bounds = budget.bounds({group.name: group.size for group in network.groups})
    for group in network.groups:
        mask = np.ones(group.size, dtype=bool)
        masks = [mask]
        for step in steps[group.name]:
            mask = mask.copy()
            mask[step] = False
            masks.append(mask)
        least, most = bounds[group.name]
        sizes = [int(mask.sum()) for mask in masks]
        fits = [
            n
            for n, size in enumerate(sizes)
            if least <= size <= most and (size % budget.round_to == 0 or size == group.size)
        ]
        if not fits:
            shown = f"a multiple of {budget.round_to} " if budget.round_to > 1 else ""
            raise InputError(
                f"most: of the {group.size} units of layer {group.name}, {shown}from {least} to {most} cannot be kept"
            )
        at = np.unique(np.round(np.linspace(0, len(fits) - 1, min(budget.levels, len(fits)))).astype(int))
        found[group.name] = [masks[fits[n]] for n in at]
    return found


def _errors(scores: AnyScores, network: Network) -> dict[str, Array]:
    """The errors of elimination with 1, 2, ... units, of the groups that have some (mathematics:budget-3)."""
    if not isinstance(scores, Scores) or scores.strategy != "elimination":
        return {}
    # Files of earlier versions have errors of one weight only.
    known = scores.options.get("costs", scores.options.get("errors"))
    if not isinstance(known, Mapping):
        raise InputError("scores: those of elimination have no errors in their options")
    names = [group.name for group in network.groups]
    if len(known) == len(names) and set(known) != set(names):
        known = dict(zip(names, known.values(), strict=True))  # as in check_scores
    found = {}
    for group in network.groups:
        given = known.get(group.name)
        if given is None:
            continue
        try:
            errors = np.asarray(given, dtype=np.float64)
        except (TypeError, ValueError):
            errors = np.zeros(0)
        if errors.shape != (group.size,) or not np.isfinite(errors).all():
            raise InputError(f"scores: the errors of layer {group.name} are not {group.size} finite numbers")
        found[group.name] = errors
    return found


def _cost(score: Array, masks: list[NDArray[np.bool_]], errors: Array | None) -> Array:
    """The cost of each choice of one group (mathematics:budget-3)."""
    if errors is not None:
        return np.array([errors[int(mask.sum()) - 1] for mask in masks])
    weight = np.maximum(score, 0.0)
    weight = weight if weight.sum() > 0 else np.ones(len(score))
    return np.array([-np.log(weight[mask].sum() / weight.sum()) for mask in masks])
