"""What a study is, what is asked of it, and the settings that follow from that."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeAlias

from oamip_benchmarks.experiments.cells import Cell, Plain, Setting
from oamip_model.errors import InputError

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from oamip_benchmarks.experiments.reporting.table import Line
    from oamip_model.data import Dataset

Draw: TypeAlias = Callable[[Sequence["Line"]], "Figure"]
Finish: TypeAlias = Callable[[Sequence["Line"]], "list[Line]"]


@dataclass(frozen=True)
class Asked:
    """What is asked of a study; each uses those fields that its ``options`` name, and the first eight.

    seeds: how many, from 0; epochs: of training, and schedule: of its learning rate, None for those of the published
    runs; training_images: how many are trained on and scored by, None for all; download: fetch data sets that are not
    here; device: of training; images: how many of them score the units, None for all; counts: the same, one after the
    other, in the study of them; shares: of the units that go, of each layer or of all together by scopes; tune: epochs
    of fine-tuning; tuned: methods whose networks are fine-tuned; weights: of the loss; every: epochs between two
    prunings; target: the data set that is trained on after scoring on ``data``; keep: share of all units that stays;
    per_class: images of each class; levels: of the refit, "removal" for none; refit_images: how many training images
    the refit sees, None for all; tunes: epochs of fine-tuning, each in a line of its own; importances: those of
    Torch-Pruning that are compared; radius, boxes: half the width of boxes around test images, and how many; tools:
    whose programs are solved there; solver, time_limit: of each program; distance_limit: seconds of each certified
    distance
    """

    networks: tuple[str, ...]
    data: str
    seeds: int
    epochs: int | None = None
    schedule: str | None = None
    training_images: int | None = None
    download: bool = False
    device: str = "cpu"
    images: int | None = None
    counts: tuple[int | None, ...] = ()
    shares: tuple[float, ...] = ()
    scopes: tuple[str, ...] = ("layer",)
    methods: tuple[str, ...] = ()
    tune: int = 0
    tuned: tuple[str, ...] = ()
    weights: tuple[float, ...] = ()
    every: int = 1
    target: str = ""
    keep: float = 0.0
    per_class: int = 0
    levels: tuple[str, ...] = ()
    refit_images: int | None = None
    tunes: tuple[int, ...] = ()
    importances: tuple[str, ...] = ()
    radius: float = 0.0
    boxes: int = 0
    tools: tuple[str, ...] = ()
    solver: str = ""
    time_limit: float = 0.0
    distance_limit: float = 0.0


@dataclass(frozen=True)
class Study:
    """One of the studies that ``oamip experiment`` offers.

    options: names and defaults of the fields of :class:`Asked` that it takes beyond the first eight; plan: its
    cells, in the order in which they are run; rows: tags that name a line of its table, over whose cells means are
    taken; values: results that the table shows; draw: its figure; schedule: default of that option of the command, None
    for that of the published runs; finish: adds to the lines what compares them; own_methods: ways of scoring that it
    has beside those of all studies
    """

    name: str
    about: str
    plan: Callable[[Asked], list[Cell]]
    rows: tuple[str, ...]
    values: tuple[str, ...]
    draw: Draw
    options: Mapping[str, Any] = field(default_factory=dict)
    schedule: str | None = None
    finish: Finish = list
    own_methods: tuple[str, ...] = ()

    def table(self, found: Sequence[tuple[Plain, Plain]]) -> list[Line]:
        """The lines of the study's table, from tags and results of its cells."""
        from oamip_benchmarks.experiments.reporting.table import summarise

        return self.finish(summarise(found, self.rows, self.values))


def settings(asked: Asked, network: str, data: str | None = None) -> list[Setting]:
    """One setting for each seed. Raises InputError for a network or data set that is not known or does not fit."""
    import oamip_model as om
    from oamip_benchmarks.experiments.workshop import pixels_of
    from oamip_model.training.device import torch_device

    source = data or asked.data
    train, test = data_of(asked, source)
    try:
        om.make_network(network, [int(size) for size in test.images.shape[1:]], test.classes)
    except InputError as error:
        # There is no option for the shape: it is that of the data.
        raise InputError(str(error).replace("input_shape:", "network:", 1)) from None
    images = asked.training_images
    if images is not None and images > train.count:
        raise InputError(f"training_images: got {images}, there are {train.count} of {train.source}")
    for count in (asked.images, asked.refit_images, *asked.counts):
        if count is not None and count > (images or train.count):
            raise InputError(f"images: got {count}, {images or train.count} are trained on of {train.source}")
    recipe = published_recipe(network, source, asked.epochs)
    if asked.schedule is not None:
        recipe["schedule"] = asked.schedule
    if asked.device != "cpu":
        recipe["device"] = str(torch_device(asked.device))
    pixels = pixels_of((train, test))
    return [Setting(network, source, seed, recipe, images, pixels) for seed in range(asked.seeds)]


def data_of(asked: Asked, name: str) -> tuple[Dataset, Dataset]:
    """Training and test images of a data set. Raises InputError where it is not here, or ``download`` has no use."""
    from oamip_benchmarks.experiments.sources import load
    from oamip_model.data.remote import OPENML

    if asked.download and not OPENML.keys() & {asked.data, asked.target}:
        raise InputError(f"download: {name} is not downloaded, accepted are {', '.join(OPENML)}")
    try:
        return load(name, asked.download)
    except InputError as error:
        if name == asked.data:
            raise
        raise InputError(str(error).replace("data:", "target:", 1)) from None


def published_recipe(network: str, data: str, epochs: int | None) -> Plain:
    """How the authors trained such a network on such data, by their scripts, for other ``epochs`` where they are given.

    RMSprop for MNIST and its relatives; on CIFAR-10 SGD, and for VGG-16 decoupled greedy training ("greedy"). Data that
    they did not use are trained on as MNIST.

    Example:
        >>> published_recipe("fc3", "fashion-mnist", 2)
        {'optimizer': 'rmsprop', 'learning_rate': 0.001, 'batch_size': 128, 'epochs': 2}
    """
    from oamip_model.training import PUBLISHED

    deep = network.startswith("vgg16")
    name = ("vgg16-cifar-10" if deep else "lenet5-cifar-10") if data == "cifar-10" else "mnist"
    recipe: Plain = dict(PUBLISHED[name]) | ({"greedy": True} if deep and data == "cifar-10" else {})
    return recipe if epochs is None else recipe | {"epochs": epochs}
