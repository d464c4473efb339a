"""How long the published program takes, relaxed, 10 images, weight 5, by solver.

Run: python -m oamip_benchmarks.measures.published [--data fashion-mnist] [--solver highs --solver cbc] [--network fc3]

Networks are trained here (3 epochs, seed 0). Prints size, seconds, rounds of outer approximation, objective and
bound; the objectives of two solvers must agree within their tolerances.
"""

from __future__ import annotations

import argparse

import torch

import oamip_model as om


def main() -> None:
    """Print one line for each network and solver."""
    parser = argparse.ArgumentParser(description="Solve time of the published program.")
    parser.add_argument("--data", default="fashion-mnist-2000")
    parser.add_argument("--solver", action="append", default=None)
    parser.add_argument("--network", action="append", default=None)
    parser.add_argument("--seed", type=int, default=0, help="of the choice of images")
    parser.add_argument("--time-limit", type=float, default=300.0)
    asked = parser.parse_args()
    torch.set_num_threads(1)
    data = om.load_dataset(asked.data, split="train")
    images = om.choose_images(data, n=10, seed=asked.seed)
    for name in asked.network or ["fc3", "lenet5"]:
        module = om.make_network(name, input_shape=data.images.shape[1:])
        om.train(module, data.images, data.labels, epochs=3, threads=1)
        network = om.read_network(module, input_shape=data.images.shape[1:])
        instance = om.build_instance(network, images, formulation=om.Formulation(gate="published", relaxed=True))
        arrays = om.compile_arrays(instance)
        rows, columns = arrays.matrix.shape
        print(f"{name}: {rows} rows, {columns} columns, {arrays.matrix.nnz} non-zeros")
        for solver in asked.solver or ["highs"]:
            scores = om.score(
                network,
                images,
                method=om.Joint(om.Formulation(gate="published", relaxed=True)),
                solver=om.Solver(solver, time_limit=asked.time_limit),
            )
            program, seconds = scores.programs[0], scores.seconds
            print(
                f"  {scores.solver} {scores.version}: {scores.status}, {sum(seconds.values()):.1f} s in all, "
                f"{seconds['solver']:.1f} s in the solver, {program.rounds} rounds, objective {scores.objective:.8g}, "
                f"bound {scores.bound:.8g}",
                flush=True,
            )


if __name__ == "__main__":
    main()
