"""Decoupled scoring: one program a layer, from every image.

Each has a certified gap (mathematics:layer-1).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import closing
from dataclasses import asdict, replace
from functools import partial
from typing import TypeAlias

import numpy as np

from oamip_model.bounds import fingerprint_images
from oamip_model.clock import Deadline, TimeIsUp
from oamip_model.data import Dataset
from oamip_model.data.weights import fingerprint, mean_one
from oamip_model.network.maps import Array
from oamip_model.network.types import Network
from oamip_model.runs.store import RunStore, key_of
from oamip_model.scoring.layerwise.exchange import Exchanged, affordable_images, exchange_units, scores_of
from oamip_model.scoring.layerwise.heads import head_named
from oamip_model.scoring.layerwise.heads.columns import is_affine_after
from oamip_model.scoring.layerwise.losses import summed_loss
from oamip_model.scoring.layerwise.plan import LayerOutcome, Plan
from oamip_model.scoring.layerwise.spent import Spent
from oamip_model.scoring.layerwise.stored import exchanged, layer_outcome
from oamip_model.scoring.layerwise.subproblem import solve_layer
from oamip_model.scoring.layerwise.task import LayerTask, Measured, measure
from oamip_model.scoring.select import choose_units
from oamip_model.solving.options import Run
from oamip_model.solving.protocol import Status
from oamip_model.solving.registry import get_backend
from oamip_model.torchnet.layers import TorchLayers

Item: TypeAlias = tuple[int, dict[int, Array], Array | None]
"""A group, the masks of the other groups, and the scores of the group at which its head is linearised."""


class DecoupledRun:
    """The subproblems of one run, solved in turn or at once.

    They are solved at once where each layer is on its own. Finished ones are taken from the store.

    spent: seconds by stage, of all subproblems (also of those whose cut was not taken), and of what is between them.
    """

    def __init__(
        self,
        network: Network,
        data: Dataset,
        plan: Plan,
        run: Run,
        store: RunStore,
        heads: Mapping[str, Network] | None = None,
        total: Deadline | None = None,
    ) -> None:
        self.heads, self.total_time, self.out_of_time = dict(heads or {}), total or Deadline(), False
        self.network, self.images, self.labels, self.plan = network, data.images, data.labels, plan
        self.weights = data.shares
        self.workers, self.store, self.progress = run.workers, store, run.tell
        self.layers = TorchLayers(network, plan.device)
        self.outcomes: dict[int, LayerOutcome] = {}
        self.exchanged: Exchanged | None = None
        self.spent = Spent()
        self.measured: dict[tuple[tuple[int, bytes], ...], Measured] = {}
        self.done = 0
        groups = list(range(len(network.groups)))
        self.steps = groups[::-1] if plan.order == "backward" else groups
        self.total = len(groups) * (1 + (plan.sweeps if plan.order != "decoupled" else 0))
        self.base_key = {
            "network": network.fingerprint, "images": fingerprint_images(data.images), "labels": data.labels.tolist(),
            "heads": {name: head.fingerprint for name, head in self.heads.items()},
            "version": get_backend(plan.solver).version(),
        }  # fmt: skip
        if self.weights is not None:
            self.base_key["weights"] = fingerprint(self.weights)

    def run(self) -> bool:
        """Solve every subproblem, and return whether Ctrl-C stopped it.

        ``out_of_time``: whether the total limit did.
        """
        plan = self.plan
        try:
            if plan.amount is not None and plan.scope == "global":
                plan = self.cut_all()
            elif plan.order == "decoupled":
                self.solve(self.steps, self.outcomes, plan)
            else:
                for group in self.steps:
                    self.solve([group], self.outcomes, plan)
            for _ in range(plan.sweeps if plan.order != "decoupled" else 0):
                self.sweep(plan)
            if self.plan.amount is not None and plan.order != "decoupled":
                self.exchange()
        except KeyboardInterrupt:
            return True
        except TimeIsUp:
            self.out_of_time = True
        return False

    def cut_all(self) -> Plan:
        """Score all layers on their own along one path of weights, and cut them.

        Returns the plan of the weight whose cut of all layers together does best on the images.
        """
        found: dict[int, LayerOutcome] = {}
        try:
            self.solve(self.steps, found, replace(self.plan, amount=None, path=self.plan.weights))
        except (KeyboardInterrupt, TimeIsUp):
            self.outcomes = found
            raise
        cuts = [self.cut_of({g: o.path[k].scores for g, o in found.items()}) for k in range(len(self.plan.weights))]
        measured = [self.cost(cut) for cut in cuts]
        best = measured.index(min(measured))
        for group, outcome in found.items():
            chosen = outcome.path[best]
            result = chosen.result
            if result.replayed_loss is None:
                result = replace(result, replayed_loss=self.measure({group: chosen.scores}).loss)
            self.outcomes[group] = replace(chosen, keep=cuts[best][group], result=result)
        return replace(self.plan, amount=None, weight=self.plan.weights[best])

    def cut_of(self, scores: dict[int, Array]) -> dict[int, Array]:
        """Masks by the rank of these scores, where the amount is of all units."""
        groups = self.network.groups
        named = {groups[g].name: s for g, s in scores.items()}
        keep = choose_units(named, self.network, amount=self.plan.amount, scope="global").keep
        return {g: keep[groups[g].name].astype(np.float64) for g in scores}

    def sweep(self, plan: Plan) -> None:
        """Score each layer once more with the others cut as they are now.

        Its head is linearised where the layer is cut now; a better cut replaces the old.
        """
        for group in self.steps:
            before = self.cost(self.cut())
            found: dict[int, LayerOutcome] = {}
            self.solve([group], found, plan)
            again = self.outcomes | found
            if self.plan.amount is not None and self.plan.scope == "global":
                keep = self.cut_of({g: outcome.scores for g, outcome in again.items()})
                again = {g: replace(outcome, keep=keep[g]) for g, outcome in again.items()}
            if self.cost({g: outcome.keep for g, outcome in again.items()}) < before:
                self.outcomes = again

    def exchange(self) -> None:
        """Exchange units by what the network cut so gets wrong.

        The scores rank by the new masks after that.
        """
        keep, asked = self.cut(), self.plan.exchanges
        count = affordable_images(self.network, len(self.images), asked) if asked.rounds else 0
        if not count:
            return
        told = self.base_key | {"keep": {g: m.tolist() for g, m in keep.items()}, "rounds": asdict(asked)}
        key = key_of(exchange="wrong + hinge", margin=self.plan.margin, scope=self.plan.scope, count=count, **told)
        known = self.store.read(key, lambda record: exchanged(record, {g: len(m) for g, m in keep.items()}))
        if known is not None:
            self.take(known)
            return
        latest: list[Exchanged] = []

        def keep_up(found: Exchanged) -> None:
            latest[:] = [found]
            self.tell(
                f"{found.pairs} pairs of units exchanged, wrong + hinge loss {found.after:.4g} from {found.before:.4g}"
            )

        # One logit has no other one to be ahead of. The loss of the programs takes the hinge's place.
        several = self.network.classes > 1
        # Evenly spread over all images, since these may be sorted by class.
        at = np.arange(count) * len(self.images) // count
        shares = None if self.weights is None else mean_one(self.weights[at])
        loss = summed_loss("hinge" if several else self.plan.loss, self.plan.margin, shares)
        try:
            with self.spent.of("exchanges"):
                found = exchange_units(
                    self.layers, self.images[at], self.labels[at], keep, loss=loss,
                    across=self.plan.scope == "global", options=asked, progress=keep_up,
                )  # fmt: skip
        except (KeyboardInterrupt, TimeIsUp):
            if latest:
                self.take(latest[0])
            raise
        masks = {str(g): mask.tolist() for g, mask in found.keep.items()}
        self.store.put(key, {"keep": masks, "found": [found.pairs, found.before, found.after]})
        self.take(found)

    def take(self, found: Exchanged) -> None:
        """The outcomes with the masks after exchanges, and scores that rank so."""
        self.exchanged = found
        if found.pairs:
            for group, keep in found.keep.items():
                before = self.outcomes[group]
                self.outcomes[group] = replace(before, keep=keep, scores=scores_of(keep, before.scores))

    def cut(self) -> dict[int, Array]:
        """Masks of the layers that are cut so far, by group.

        Where each layer is on its own there are none.
        """
        return {} if self.plan.order == "decoupled" else {g: o.keep for g, o in self.outcomes.items()}

    def measure(self, scores: dict[int, Array]) -> Measured:
        """How the network does on the images with these scores."""
        key = tuple((g, scores[g].tobytes()) for g in sorted(scores))
        if key not in self.measured:
            loss = summed_loss(self.plan.loss, self.plan.margin, self.weights)
            with self.spent.of("comparisons"):
                self.measured[key] = measure(self.layers, self.images, self.labels, scores, loss)
        return self.measured[key]

    def cost(self, cut: dict[int, Array]) -> tuple[float, ...]:
        """What is least for the best of several cuts (masks by group).

        With an amount, where all remove as many units, it is how the network does on the images; else the objective,
        weight * loss + sparsity.
        """
        found = self.measure(cut)
        if self.plan.amount is not None:
            return found
        tasks = [LayerTask(self.network, self.images, self.labels, g, {}, self.plan) for g in cut]
        return (self.plan.weight * found.loss + sum(float(task.price()[0] @ cut[task.group]) for task in tasks),)

    def linearised_at(self, group: int) -> Array | None:
        """The mask by which a group is cut already.

        It counts where the group's subproblem is a linearisation of what follows.
        """
        if not head_named(self.plan.head).linearised or group not in self.cut() or is_affine_after(self.layers, group):
            return None
        return self.outcomes[group].keep

    def solve(self, groups: list[int], into: dict[int, LayerOutcome], plan: Plan) -> None:
        """Put the outcomes of these groups into a dictionary.

        The other groups are cut as far as the order says.
        """
        cut = self.cut()
        left: dict[str, Item] = {}
        keys: dict[str, str] = {}
        for group in groups:
            name = self.network.groups[group].name
            others = {g: keep for g, keep in cut.items() if g != group}
            at = self.linearised_at(group)
            told = self.base_key | asdict(plan) | {"at": None if at is None else at.tolist()}
            keys[name] = key_of(**told, group=name, others={g: m.tolist() for g, m in others.items()})
            known = self.store.read(keys[name], partial(layer_outcome, group=self.network.groups[group]))
            if known is None:
                left[name] = (group, others, at)
            else:
                into[group] = known
                self.finished(name, into[group])
        if left:
            self.check_time()
        shared = LayerTask(
            self.network, self.images, self.labels, groups[0], {}, plan, self.heads, image_weights=self.weights
        )
        with closing(self.workers.run(_solve, shared, left, self.tell)) as solved:
            for name, outcome in solved:
                states = {one.result.status for one in outcome.path or (outcome,)}
                late = self.total_time.closing() and states != {Status.OPTIMAL}
                if not late or outcome.result.objective is not None:
                    into[left[name][0]] = outcome
                self.finished(name, outcome)
                if late:  # not kept: with more time the program may be solved
                    raise TimeIsUp("the total time limit was over")
                self.store.put(keys[name], outcome.record())
                if len(into) < len(groups):
                    self.check_time()

    def check_time(self) -> None:
        """Raise TimeIsUp where the total time limit is over."""
        if self.total_time.over():
            raise TimeIsUp("the total time limit was over")

    def finished(self, name: str, outcome: LayerOutcome) -> None:
        """Count and report a subproblem that is solved."""
        self.done += 1
        self.spent.add(outcome.result.seconds)
        gap = outcome.result.gap
        self.tell(f"{name}: {outcome.result.status}, " + ("gap unknown" if gap is None else f"gap {gap:.2g}"))

    def tell(self, line: str) -> None:
        """Report progress."""
        if self.progress is not None:
            self.progress(min(self.done, self.total), self.total, line)


def _solve(shared: LayerTask, item: Item, tell: Callable[[str], None] | None) -> LayerOutcome:
    """One subproblem, in this process or in a worker."""
    group, others, at = item
    task = replace(shared, group=group, others=others, at=at)
    if tell is not None:
        tell(f"{task.name}: columns")
    return solve_layer(task, tell)
