"""Images as scenarios of mpi-sppy, and the joint program.

Run: python -m oamip_benchmarks.measures.scenarios small [--choices 3] [--iterations 40]
     mpiexec -np 2 python -m oamip_benchmarks.measures.scenarios split [--images 100] [--size 5] [--iterations 10]
     mpiexec -np 3 python -m oamip_benchmarks.measures.scenarios wheel [--images 20] [--size 2] [--iterations 10]

``small``: for several programs of a small network and a few images, the optimum of the joint program, that of
mpi-sppy's extensive form, and what progressive hedging finds, with their relative differences. For a relaxation, which
is a linear program, progressive hedging's own expected cost is compared, for others the best scores that it saw. The
exit code is 1 where one differs by more than 1e-4. ``split``: progressive hedging over many images, its scenarios
divided among the processes of mpiexec; without mpiexec it is one process. ``wheel``: the same as a hub, with a spoke
for the Lagrangian bound and one that tries scenarios' scores. Needs the extra mpisppy; the last needs mpi4py.
"""

from __future__ import annotations

import argparse
import sys
import time
from typing import Any

import torch

import oamip_model as om

TOLERANCE = 1e-5
MOST = 1e-4
"""Largest relative difference of ``small``."""
KINDS: dict[str, dict[str, Any]] = {
    "relaxed": {"relaxed": True},
    "binary": {"scores": "binary"},
    "hinge": {"scores": "binary", "loss": "hinge"},
}


def options(asked: argparse.Namespace, **more: Any) -> dict[str, Any]:
    """The options of mpi-sppy's engines."""
    solves = {"solver": asked.solver, "mipgap": TOLERANCE}
    return {
        "solver_name": "oamip",
        "PHIterLimit": asked.iterations,
        "defaultPHrho": asked.rho,
        "convthresh": 1e-6,
        "verbose": False,
        "display_progress": False,
        "display_timing": False,
        "asynchronousPH": False,
        "smoothed": 0,
        "iter0_solver_options": solves,
        "iterk_solver_options": solves,
        # The backends are linear; of a binary score the square is the score.
        "linearize_proximal_terms": True,
        "proximal_linearization_tolerance": 1e-6,
    } | more


def hedged(scenarios: Any, asked: argparse.Namespace) -> tuple[Any, float]:
    """Progressive hedging that has run, and its bound of the first iteration."""
    from mpisppy.opt.ph import PH

    made = PH(
        options(asked), scenarios.names, scenarios.creator,
        extensions=scenarios.extension, extension_kwargs={"scenarios": scenarios},
    )  # fmt: skip
    _, _, trivial = made.ph_main()
    return made, trivial


def network_of(asked: argparse.Namespace, train: om.Dataset) -> om.Network:
    """A network trained on all training images."""
    shape = train.images.shape[1:]
    module = om.make_network(asked.network, input_shape=shape, seed=0)
    om.train(module, train.images, train.labels, epochs=2, seed=0, threads=1)
    return om.read_network(module, input_shape=shape)


def small(asked: argparse.Namespace, network: om.Network, train: om.Dataset) -> int:
    """Compare all three on small programs; returns how many differ."""
    from mpisppy.opt.ef import ExtensiveForm

    wrong = 0
    for kind, fields in KINDS.items():
        form = om.Formulation(sparsity="mean", **fields)
        for choice in range(asked.choices):
            images = om.choose_images(train, n=asked.images, seed=choice)
            joint = om.score(network, images, method=om.Joint(form), solver=om.Solver(tolerance=TOLERANCE)).programs[0]
            assert joint.objective is not None
            scenarios = om.scenarios(network, images, formulation=form)
            whole = ExtensiveForm({"solver": "oamip"}, scenarios.names, scenarios.creator)
            whole.solve_extensive_form({"solver": asked.solver, "mipgap": TOLERANCE})
            began = time.perf_counter()
            hedging, trivial = hedged(scenarios, asked)
            seconds = time.perf_counter() - began
            found = expected(hedging, scenarios) if form.relaxed else hedging.extobject.objective
            values = {"extensive form": whole.get_objective_value(), "progressive hedging": found}
            told = []
            for name, value in values.items():
                apart = abs(value - joint.objective) / max(1e-10, abs(joint.objective))
                wrong += apart > MOST
                told.append(f"{name} {value:.6f} ({apart:.1e})")
            print(
                f"{kind}, images {choice}: joint {joint.objective:.6f}, {', '.join(told)}; bound without agreement "
                f"{trivial:.6f}; {hedging._PHIter} iterations, {seconds:.1f} s",
                flush=True,
            )
    print(f"{wrong} differ by more than {MOST:g}")
    return wrong


def expected(hedging: Any, scenarios: Any) -> float:
    """The expected cost at the mean of the scenarios' scores.

    Every scenario is solved with these.
    """
    import pyomo.environ as pyo

    model = next(iter(hedging.local_scenarios.values()))
    means = [model._mpisppy_model.xbars[key].value for key in model._mpisppy_data.nonant_indices]
    total = 0.0
    for name in scenarios.names:
        part = scenarios.model(name)
        for score, value in zip(part.s.values(), means, strict=True):
            score.fix(min(max(value, 0.0), 1.0))
        pyo.SolverFactory("oamip:highs", mipgap=TOLERANCE).solve(part)
        total += scenarios.probability(name) * pyo.value(part.objective)
    return total


def split(asked: argparse.Namespace, network: om.Network, train: om.Dataset) -> int:
    """Progressive hedging over many images; returns 0."""
    from mpisppy import MPI

    images = om.choose_images(train, n=asked.images, seed=0)
    form = om.Formulation(sparsity="mean", **KINDS[asked.kind])
    scenarios = om.scenarios(network, images, formulation=form, size=asked.size)
    began = time.perf_counter()
    hedging, trivial = hedged(scenarios, asked)
    seconds = time.perf_counter() - began
    rank, ranks = hedging.cylinder_rank, MPI.COMM_WORLD.Get_size()
    print(f"process {rank} of {ranks}: {len(hedging.local_scenarios)} of {len(scenarios.names)} scenarios", flush=True)
    if rank == 0:
        units = sum(group.size for group in network.groups)
        kept = sum(float(part.sum()) for part in hedging.extobject.scores.values())
        print(
            f"{asked.images} images, {len(scenarios.names)} scenarios, {ranks} processes, {hedging._PHIter} "
            f"iterations, {seconds:.1f} s: best scores {hedging.extobject.objective:.6f} "
            f"({kept:.0f} of {units} units stay), bound without agreement {trivial:.6f}, "
            f"convergence {hedging.conv:.3g}",
            flush=True,
        )
    return 0


def wheel(asked: argparse.Namespace, network: om.Network, train: om.Dataset) -> int:
    """A hub of progressive hedging with two spokes; returns 0."""
    from mpisppy.cylinders.hub import PHHub
    from mpisppy.cylinders.lagrangian_bounder import LagrangianOuterBound
    from mpisppy.cylinders.xhatshufflelooper_bounder import XhatShuffleInnerBound
    from mpisppy.opt.ph import PH
    from mpisppy.phbase import PHBase
    from mpisppy.spin_the_wheel import WheelSpinner
    from mpisppy.utils.xhat_eval import Xhat_Eval

    images = om.choose_images(train, n=asked.images, seed=0)
    form = om.Formulation(sparsity="mean", **KINDS[asked.kind])
    scenarios = om.scenarios(network, images, formulation=form, size=asked.size)
    common = {"all_scenario_names": scenarios.names, "scenario_creator": scenarios.creator}
    looper = {"xhat_solver_options": {"mipgap": TOLERANCE}, "dump_prefix": "", "csvname": ""}
    hub = {
        "hub_class": PHHub, "hub_kwargs": {"options": {"rel_gap": 1e-3, "abs_gap": 0.0}}, "opt_class": PH,
        "opt_kwargs": common | {"options": options(asked), "extensions": scenarios.extension,
                                "extension_kwargs": {"scenarios": scenarios}},
    }  # fmt: skip
    spokes = [
        {"spoke_class": LagrangianOuterBound, "opt_class": PHBase, "opt_kwargs": common | {"options": options(asked)}},
        {"spoke_class": XhatShuffleInnerBound, "opt_class": Xhat_Eval,
         "opt_kwargs": common | {"options": options(asked, xhat_looper_options=looper)}},
    ]  # fmt: skip
    began = time.perf_counter()
    spun = WheelSpinner(hub, spokes)
    spun.spin()
    if spun.global_rank == 0:
        print(
            f"{asked.images} images, hub and two spokes, {time.perf_counter() - began:.1f} s: inner bound "
            f"{spun.BestInnerBound:.6f}, outer bound {spun.BestOuterBound:.6f}, forward passes "
            f"{spun.spcomm.opt.extobject.objective:.6f}",
            flush=True,
        )
    return 0


def main() -> int:
    """Run one of the three; returns the exit code."""
    parser = argparse.ArgumentParser(description="Images as scenarios of mpi-sppy.")
    parser.add_argument("part", choices=["small", "split", "wheel"])
    parser.add_argument("--data", default="fashion-mnist-2000")
    parser.add_argument("--network", default="dense-8-6")
    parser.add_argument("--solver", default="highs")
    parser.add_argument("--kind", choices=list(KINDS), default="binary", help="of split and wheel")
    parser.add_argument("--images", type=int, help="[default: small 3, split 100, wheel 20]")
    parser.add_argument("--size", type=int, help="images of a scenario  [default: small 1, split 5, wheel 2]")
    parser.add_argument("--choices", type=int, default=3, help="choices of images of small")
    parser.add_argument("--iterations", type=int, default=30)
    parser.add_argument("--rho", type=float, default=1.0)
    asked = parser.parse_args()
    images, size = {"small": (3, 1), "split": (100, 5), "wheel": (20, 2)}[asked.part]
    asked.images, asked.size = asked.images or images, asked.size or size
    torch.set_num_threads(1)
    train = om.load_dataset(asked.data)
    part = {"small": small, "split": split, "wheel": wheel}[asked.part]
    return 1 if part(asked, network_of(asked, train), train) else 0


if __name__ == "__main__":
    sys.exit(main())
