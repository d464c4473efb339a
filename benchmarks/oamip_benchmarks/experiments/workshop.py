"""Trained networks, scores and refitted networks in a run's folder.

Several cells share them, and each is made once.
"""

from __future__ import annotations

import fcntl
import hashlib
import io
import json
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import torch

import oamip_model as om
from oamip_benchmarks.experiments.cells import Plain
from oamip_benchmarks.experiments.scorers import make_scores
from oamip_benchmarks.experiments.sources import load, training_images
from oamip_benchmarks.experiments.stored import fill, read_network, read_seconds
from oamip_model.errors import InputError
from oamip_model.files import lock_file, replacing
from oamip_model.records import Count, checked
from oamip_model.runs.store import key_of

if TYPE_CHECKING:
    from torch import nn

    from oamip_model.data import Dataset
    from oamip_model.network.types import Network
    from oamip_model.scoring import Scores


KINDS = "networks", "scores", "smaller"
"""The folders of what cells share."""


@dataclass(frozen=True)
class Trained:
    """A trained network.

    Parameters
    ----------
    module : torch.nn.Module
        The module in eval mode.
    network : Network
        The same as plain data.
    initial : torch.nn.Module
        The module before training.
    seconds : float
        Seconds of the training.
    """

    module: nn.Module
    network: Network
    initial: nn.Module
    seconds: float


class Workshop:
    """The networks and scores of one run folder.

    Several processes may use a folder: the others wait for what one is making. Files are whole or not there.

    Parameters
    ----------
    folder : Path
        The run's folder.
    tell : callable, optional
        Is called with a line before what takes long.
    download : bool, default False
        Whether data sets that are not here are fetched, where they can be.
    """

    def __init__(self, folder: Path, tell: Callable[[str], None] | None = None, download: bool = False) -> None:
        self.folder, self.download = folder, download
        self.tell = tell or (lambda line: None)

    def check(self) -> None:
        """Make sure that files in the folder can be read and written, before a long run.

        Raises
        ------
        InputError
            Where a link that leads to nothing, a folder or a device stands in a file's place.
        """
        for kind in KINDS:
            folder = self.folder / kind
            if folder.is_symlink() and not folder.exists():
                raise InputError(f"out: {folder} is a link that leads to nothing")
            for path in sorted(folder.iterdir()) if folder.is_dir() else ():
                lock = path.name.endswith(".lock")
                if not path.is_file() or (lock and path.is_symlink()):
                    raise InputError(f"out: {path} is a link, a folder or a device, accepted is a file")

    def data(self, setting: Plain) -> tuple[Dataset, Dataset]:
        """Training images, as many as the setting says, and all test images."""
        return training_images(setting, self.download), load(setting["data"], self.download)[1]

    def initial(self, setting: Plain) -> nn.Module:
        """The setting's network before any training."""
        _, test = load(setting["data"], self.download)
        shape = [int(size) for size in test.images.shape[1:]]
        return om.make_network(setting["network"], shape, test.classes, setting["seed"])

    def trained(self, setting: Plain) -> Trained:
        """The setting's network, trained here or before."""
        module, initial = self.initial(setting), self.initial(setting)
        train, _ = self.data(setting)
        found = self._once("networks", setting, module, lambda: self.train(module, train, setting))
        return Trained(module, om.read_network(module, train.images.shape[1:]), initial, found)

    def refitted(self, options: Plain, module: nn.Module, refit: Callable[[], nn.Module]) -> tuple[nn.Module, float]:
        """A smaller network after a refit, made here or before, and its seconds.

        Parameters
        ----------
        options : dict
            All that the refitted network depends on.
        module : torch.nn.Module
            The network as it was cut, which gets the weights.
        refit : callable
            Gives the refitted network, whose weights have the same names and shapes.
        """
        seconds = self._once("smaller", options, module, lambda: module.load_state_dict(refit().state_dict()))
        return module, seconds

    def _once(self, kind: str, options: Plain, module: nn.Module, fill_in: Callable[[], object]) -> float:
        """Fill a module with weights that are made once; the seconds that they took."""
        with self._making(kind, key_of(**options), ".pt") as path:
            found = self._stored(path, module)
            if found is None:
                started = time.perf_counter()
                fill_in()
                found = time.perf_counter() - started
                buffer = io.BytesIO()  # torch's own writer aborts the process where a disk is full
                torch.save({"state": module.state_dict(), "seconds": found, "setting": options}, buffer)
                with replacing(path) as temporary:
                    temporary.write_bytes(buffer.getbuffer())
        return found

    def _stored(self, path: Path, module: nn.Module) -> float | None:
        """Fill a module with the weights in a file.

        Returns the seconds that they took, None where they are to be made anew.
        """
        if not path.exists():
            return None
        try:
            state, seconds = read_network(path)
            fill(module, state, f"run: {path}")
        except InputError as error:
            self.tell(f"{error}; it is made again")
            return None
        return seconds

    def train(self, module: nn.Module, train: Dataset, setting: Plain) -> None:
        """Train a module in place by the setting's recipe.

        With "greedy" in it each layer is trained with a classifier of its own.
        """
        recipe = dict(setting["recipe"])
        greedy = recipe.pop("greedy", False)
        name = f"training {setting['network']} on {setting['data']}, seed {setting['seed']}"

        def progress(epoch: int, loss: float) -> None:
            self.tell(f"{name}: epoch {epoch}/{recipe['epochs']}, loss {loss:.3f}")

        training = om.train_greedy if greedy else om.train
        training(module, *train, seed=setting["seed"], threads=1, progress=progress, **recipe)

    def scores(self, setting: Plain, rule: Plain, of: str = "trained") -> tuple[Scores, float]:
        """Scores of the setting's network by a rule, and the seconds that they took.

        They are read where they were computed before. ``of`` is "trained", or "initial", the network before training.
        """
        if rule["method"] == "critical":
            scores, seconds = self.scores(setting, rule["of"], of)
            return om.critical_scores(scores), seconds
        train, _ = self.data(setting)
        with self._making("scores", _scores_key(setting, rule, of), ".json") as path:
            beside = path.with_suffix(".seconds")
            if path.exists():
                try:
                    return om.load_scores(path), read_seconds(beside)
                except InputError as error:
                    self.tell(f"{error}; the scores are found again")
            if of == "trained":
                network = self.trained(setting).network
            else:
                network = om.read_network(self.initial(setting), train.images.shape[1:])
            started = time.perf_counter()
            scores = make_scores(rule, network, train, setting["seed"], self.tell)
            taken = time.perf_counter() - started
            # Before the scores: where they are, their time is too.
            with replacing(beside) as temporary:
                temporary.write_text(json.dumps(taken))
            scores.save(path)
            return om.load_scores(path), taken

    def found(self, setting: Plain, rule: Plain) -> tuple[nn.Module, Network, Scores]:
        """The trained network and its scores by a rule, from the folder alone.

        No data are needed.

        Raises
        ------
        InputError
            Where they are not there.
        """
        scores = om.load_scores(self.folder / "scores" / f"{_scores_key(setting, rule, 'trained')}.json")
        path = self.folder / "networks" / f"{key_of(**setting)}.pt"
        if not path.exists():
            raise InputError(f"run: {path} is missing")
        state, _ = read_network(path)
        where = f"run: {path}"
        shape = checked(list[Count], scores.options.get("input_shape"), f"run: the scores of {path}: input_shape")
        last = list(state.values())[-1] if state else torch.zeros(())
        if last.ndim != 1:
            raise InputError(f"{where} does not end with the biases of a network")
        module = om.make_network(setting["network"], shape, len(last), setting["seed"])
        fill(module, state, where)
        return module, om.read_network(module, shape), scores

    @contextmanager
    def _making(self, kind: str, key: str, suffix: str) -> Iterator[Path]:
        """The path of a file, for this process alone as long as the block lasts."""
        folder = self.folder / kind
        try:
            folder.mkdir(exist_ok=True)
        except OSError as error:
            raise InputError(f"out: the folder {folder} cannot be made ({error.strerror})") from None
        with lock_file(folder / f".{key}.lock", "out") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield folder / f"{key}{suffix}"


def _scores_key(setting: Plain, rule: Plain, of: str) -> str:
    return key_of(setting=setting, rule=rule, of=of)


def pixels_of(data: tuple[Dataset, Dataset]) -> str:
    """Hash of a data set's images and labels, training and test."""
    found = hashlib.sha256()
    for part in data:
        for array in part:
            found.update(repr(array.shape).encode())
            found.update(memoryview(array).cast("B"))
    return found.hexdigest()[:16]
