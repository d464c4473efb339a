"""Budgets: what is promised is what comes out, and no choice within the budget is cheaper."""

from __future__ import annotations

import itertools
import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from pruning.conftest import NETWORKS, build, conv
from torch import nn

import oamip_model as om
from oamip_model.checks import from_record, to_record
from oamip_model.network.counting.choices import count_choices
from oamip_model.pruning import Budgeted, Plan, choose_units
from oamip_model.pruning.budgets.blocks import removal_steps
from oamip_model.pruning.budgets.choose import _choices, _cost
from oamip_model.pruning.budgets.program import budget_arrays, solve_budget
from oamip_model.solving.protocol import Status


def grouped() -> nn.Module:
    """Blocks of every kind: read and made by groups, a filter for each channel, groups between two of them."""
    torch.manual_seed(3)
    module = nn.Sequential(
        conv(1, 8, 3, padding=1), conv(8, 12, 3, groups=2, padding=1), conv(12, 6, 1), conv(6, 6, 3, groups=6),
        conv(6, 9, 1), conv(9, 6, 1, groups=3), nn.AvgPool2d(2), nn.Flatten(), nn.Linear(24, 5), nn.ReLU(),
        nn.Linear(5, 3),
    )  # fmt: skip
    return module.eval()


def draw(network: om.Network, seed: int) -> dict[str, np.ndarray]:
    pick = np.random.default_rng(seed)
    return {group.name: pick.uniform(size=group.size) for group in network.groups}


def drawn(seed: int) -> tuple[nn.Module, tuple[int, ...]]:
    """A network of a random depth, widths, kernels, strides, groups and pools."""
    pick = np.random.default_rng(seed)
    torch.manual_seed(seed)
    if seed % 3 == 0:
        sizes = [int(pick.integers(3, 12)) for _ in range(int(pick.integers(2, 5)))]
        parts = [part for a, b in itertools.pairwise([7, *sizes]) for part in (nn.Linear(a, b), nn.ReLU())]
        return nn.Sequential(*parts, nn.Linear(sizes[-1], 3)).eval(), (7,)
    channels, parts = 2, []
    for _ in range(int(pick.integers(2, 4))):
        groups = int(pick.choice([1, 1, 2])) if channels % 2 == 0 else 1
        made, kernel = groups * int(pick.integers(2, 6)), int(pick.choice([1, 3]))
        parts.append(conv(channels, made, kernel, padding=kernel // 2, groups=groups, stride=int(pick.choice([1, 2]))))
        channels = made
    parts.append(nn.AdaptiveAvgPool2d(2) if pick.uniform() < 0.5 else nn.AdaptiveAvgPool2d(1))
    sizes = [channels * parts[-1].output_size ** 2, 6]
    return nn.Sequential(*parts, nn.Flatten(), nn.Linear(*sizes), nn.ReLU(), nn.Linear(6, 3)).eval(), (2, 9, 9)


CASES = [*sorted(NETWORKS), "blocks", *(f"drawn {seed}" for seed in range(9))]


def made(name: str) -> tuple[nn.Module, tuple[int, ...]]:
    if name.startswith("drawn"):
        return drawn(int(name.split()[1]))
    return (grouped(), (1, 6, 6)) if name == "blocks" else build(name)


@pytest.mark.thinned(19)
@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("asked", [{"macs": 0.6}, {"parameters": 0.5}, {"macs": 0.7, "parameters": 0.6}])
def test_what_is_promised_is_counted_in_the_network_that_comes_out(name, asked):
    module, shape = made(name)
    network = om.read_network(module, shape)
    budget, scores = om.Budget(**asked), draw(network, seed=1)
    if name in ("grouped", "blocks"):  # some of their layers must be kept whole
        budget = om.Budget(**{key: min(0.95, share + 0.2) for key, share in asked.items()})
    smaller, report = om.prune_with_report(module, scores, amount=budget, network=network)
    out = om.read_network(smaller, shape)
    assert report.plan is not None
    assert out.size == report.plan.after == report.size_after
    assert report.size_before == network.size == report.plan.before
    for key, limit in report.plan.limits.items():
        assert getattr(out, key) <= limit == int(getattr(budget, key) * getattr(network, key) + 1e-6)
    assert sum(report.plan.kept.values()) == sum(report.units.values()) - sum(map(len, report.removed.values()))
    assert report.plan.optimal
    assert report.plan.summary() in report.summary()


@pytest.mark.thinned(9)
@pytest.mark.parametrize("solver", ["highs", "cbc"])
@pytest.mark.parametrize("name", ["mlp", "conv", "residual", "projection", "depthwise", "shared", "grouped"])
def test_no_choice_within_the_budget_is_cheaper(name, solver):
    module, shape = made(name)
    network = om.read_network(module, shape)
    budget = om.Budget(macs=0.7, parameters=0.8, levels=4, solver=solver)
    scores = draw(network, seed=2)
    chosen = choose_units(scores, network, amount=budget)
    assert isinstance(chosen, Budgeted)
    assert chosen.plan is not None
    kept = _choices(budget, network, removal_steps(network, scores, {n: np.ones(len(s)) for n, s in scores.items()}))
    counts = count_choices(network, kept)
    costs = [_cost(scores[name], masks, None) for name, masks in kept.items()]
    best = min(
        sum(cost[n] for cost, n in zip(costs, choice, strict=True))
        for choice in itertools.product(*(range(len(masks)) for masks in kept.values()))
        if all(getattr(counts.at(choice), key) <= limit for key, limit in chosen.plan.limits.items())
    )
    assert chosen.plan.cost == pytest.approx(best, abs=1e-9)
    assert chosen.plan.bound == pytest.approx(best, abs=1e-5)


def test_a_plan_that_passes_the_budget_within_the_tolerance_is_cut_off():
    # One multiply-accumulate in 10^10 is below every solver's tolerance.
    from oamip_model.network.counting.choices import Count

    whole = 10**10
    count = Count(0, {0: np.array([whole, whole // 2]), 1: np.array([1, 0])})
    costs = [np.array([0.0, 1.0]), np.array([0.0, 0.1])]
    for limit, choices in ((whole, (0, 1)), (whole + 1, (0, 0)), (whole - 1, (1, 0))):
        answer = solve_budget(costs, [(count, limit)], om.Solver())
        assert answer.choices == choices
        assert answer.optimal


def test_the_products_of_a_pair_are_exact_at_every_choice():
    from oamip_model.network.counting.choices import Count

    pick = np.random.default_rng(0)
    table = pick.integers(1, 50, (3, 4))
    count = Count(7, {0: pick.integers(0, 9, 3)}, {(0, 1): table})
    arrays = budget_arrays([np.zeros(3), np.zeros(4)], [(count, 10**6)])
    for a, b in itertools.product(range(3), range(4)):
        x = np.zeros(len(arrays.cost))
        x[a] = x[3 + b] = 1.0
        x[7 + 4 * a + b] = 1.0
        assert arrays.violation(x) <= 1e-12
        largest = max(table.max(), count.single[0].max())
        assert (arrays.matrix @ x)[-1] * largest + 7 == pytest.approx(count.at((a, b)))
        other = x.copy()  # another product than that of the two binaries breaks a row
        other[7 + 4 * a + b], other[7 + 4 * a + (b + 1) % 4] = 0.0, 1.0
        assert arrays.violation(other) >= 1


def test_numbers_of_units_are_rounded_and_keep_to_their_limits():
    torch.manual_seed(0)
    module = nn.Sequential(conv(1, 24, 3), conv(24, 20, 3), nn.Flatten(), nn.Linear(80, 30), nn.ReLU(),
                           nn.Linear(30, 3)).eval()  # fmt: skip
    network = om.read_network(module, (1, 6, 6))
    names = [group.name for group in network.groups]
    budget = om.Budget(macs=0.5, round_to=8, least={names[0]: 16}, most={names[2]: 16})
    plan = choose_units(draw(network, 0), network, amount=budget).plan
    assert all(kept % 8 == 0 or kept == group.size for kept, group in zip(plan.kept.values(), network.groups,
                                                                          strict=True))  # fmt: skip
    assert plan.kept[names[0]] >= 16
    assert plan.kept[names[2]] in (8, 16)
    assert choose_units(draw(network, 0), network, amount=om.Budget(macs=1.0)).plan.after == network.size
    more = choose_units(draw(network, 0), network, amount=om.Budget(macs=0.5, levels=1000)).plan
    assert more.cost <= choose_units(draw(network, 0), network, amount=om.Budget(macs=0.5)).plan.cost + 1e-6


def test_the_errors_of_elimination_decide_where_there_are_some():
    module, shape = build("conv")
    network = om.read_network(module, shape)
    images = np.random.default_rng(0).uniform(size=(40, *shape))
    scores = om.score(network, images, method=om.Elimination(amount=0.5, swaps=0))
    plan = choose_units(scores, network, amount=om.Budget(parameters=0.5)).plan
    assert set(plan.measured) == {name for name, errors in scores.options["errors"].items() if errors is not None}
    assert plan.measured
    wanted = sum(scores.options["costs"][name][kept - 1] for name, kept in plan.kept.items())
    assert plan.cost == pytest.approx(wanted)
    scores.options["costs"][network.groups[0].name] = [1.0]
    with pytest.raises(om.InputError, match=r"^scores: the errors of layer .* are not \d+ finite numbers$"):
        choose_units(scores, network, amount=om.Budget(parameters=0.5))


@pytest.mark.parametrize("mode", ["remove", "mask"])
def test_a_refit_after_a_budget_is_of_the_same_size(mode):
    module, shape = build("residual")
    network = om.read_network(module, shape)
    images = np.random.default_rng(0).uniform(size=(60, *shape))
    _, report = om.prune_with_report(
        module, draw(network, 0), amount=om.Budget(macs=0.5), network=network, refit="least-squares", images=images,
        mode=mode,
    )  # fmt: skip
    assert report.plan.after == report.size_after
    assert report.size_before == network.size
    assert report.refit is not None


def test_biases_that_a_refit_adds_are_told():
    module, shape = build("mlp")
    network = om.read_network(module, shape)
    images = np.random.default_rng(0).normal(size=(60, *shape))
    budget = om.Budget(parameters=0.5, levels=1000)
    _, report = om.prune_with_report(
        module, draw(network, 0), amount=budget, network=network, refit="least-squares", images=images
    )
    added = report.size_after.parameters - report.plan.after.parameters
    assert added == report.plan.kept["2"]
    over = report.size_after.parameters - report.plan.limits["parameters"]
    assert (f"{over} parameters of biases beyond the budget" in report.summary()) == (over > 0)


def test_the_surrogate_makes_the_product_of_shares_large_and_gives_no_layer_up():
    masks = [np.array(mask, dtype=bool) for mask in ([1, 1, 1], [0, 1, 1], [0, 0, 1])]
    costs = _cost(np.array([0.1, 0.3, 0.6]), masks, None)
    assert np.exp(-costs).tolist() == pytest.approx([1.0, 0.9, 0.6])
    assert np.exp(-_cost(np.zeros(3), masks, None)).tolist() == pytest.approx([1.0, 2 / 3, 1 / 3])
    torch.manual_seed(0)
    module = nn.Sequential(nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 64)).eval()
    network = om.read_network(module, (64,))
    equal = {group.name: np.ones(64) for group in network.groups}
    plan = choose_units(equal, network, amount=om.Budget(macs=0.5)).plan
    assert min(plan.kept.values()) > 16


def test_a_budget_with_limits_by_layer_comes_back_from_its_record():
    budget = om.Budget(macs=0.5, least={"a": 3}, most=7, solver=om.Solver("cbc", time_limit=5))
    record = json.loads(json.dumps(to_record(budget)))
    assert from_record(record, {"Budget": om.Budget, "Solver": om.Solver}) == budget


class Ended:
    """HiGHS that ends as it is told, whatever it found."""

    name = "ended"

    def __init__(self, **as_told: object) -> None:
        self._inner, self._told = om.get_backend("highs"), as_told

    def __getattr__(self, name: str) -> object:
        return getattr(self._inner, name)

    def solve(self, arrays, options, start=None):
        return replace(self._inner.solve(arrays, options, start), **self._told)


def test_how_the_solver_ended_is_told():
    module, shape = build("mlp")
    network = om.read_network(module, shape)

    def plan(**told: object) -> Plan:
        return choose_units(draw(network, 0), network, amount=om.Budget(macs=0.5, solver=Ended(**told))).plan

    assert plan().optimal
    stopped = plan(status=Status.FEASIBLE)
    assert not stopped.optimal
    assert "not proved to be the best plan" in stopped.summary()
    with pytest.raises(om.SolverError, match=r"^budget: highs found no plan \(the clock\)$"):
        plan(status=Status.NO_SOLUTION, x=None, objective=None, message="the clock")
    with pytest.raises(KeyboardInterrupt, match="nothing was saved"):
        plan(interrupted=True)
