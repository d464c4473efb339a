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
Gather: TypeAlias = Callable[[Sequence[tuple[Plain, Plain]]], list[tuple[Plain, Plain]]]
Finish: TypeAlias = Callable[[Sequence["Line"]], "list[Line]"]


@dataclass(frozen=True)
class Asked:
    """The options of a study.

    Each study uses those fields that its ``options`` name, and the first eight.

    Parameters
    ----------
    networks : tuple of str
        Names of networks.
    data : str
        The data set.
    seeds : int
        How many seeds, from 0.
    epochs, schedule : optional
        Epochs of training, and schedule of its learning rate. None for those of the published runs.
    training_images : int, optional
        How many images are trained on and scored by, None for all.
    download : bool
        Whether to fetch data sets that are not here.
    device : str
        Device of training.
    images : int, optional
        How many of the images score the units, None for all.
    counts : tuple
        The same, one after the other, in the study of them.
    shares, scopes : tuple
        Shares of the units that are removed, of each layer or of all together.
    methods : tuple of str
        Methods of scoring.
    tune, tuned : optional
        Epochs of fine-tuning, and the methods whose networks are fine-tuned.
    weights : tuple of float
        Weights of the loss.
    every : int
        Epochs between two prunings.
    target : str
        The data set that is trained on after scoring on ``data``.
    keep : float
        Share of all units that is kept.
    per_class : int
        Images of each class.
    levels, refit_images : optional
        Levels of the refit, "removal" for none, and how many training images it sees, None for all.
    tunes : tuple of int
        Epochs of fine-tuning, each in a line of its own.
    importances : tuple of str
        Torch-Pruning's importances that are compared.
    radius, boxes : float, int
        Half the width of boxes around test images, and how many boxes.
    tools, solver : tuple of str, str
        Whose programs are solved over the boxes, and who solves them.
    time_limit, distance_limit : float
        Seconds of each program, and of each certified distance.
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

    Parameters
    ----------
    name, about : str
        Its name, and a line for the help.
    plan : callable
        Gives its cells, in the order in which they are run.
    rows : tuple of str
        Tags that name a line of its table, over whose cells means are taken.
    values : tuple of str
        Results that the table shows.
    draw : callable
        Makes its figure.
    options : mapping
        Names and defaults of the fields of :class:`Asked` that it takes beyond the first eight.
    schedule : str or None
        Default of that option of the command, None for that of the published runs.
    gather : callable
        Makes one result of the cells of a seed, where a seed has several for a line of the table.
    finish : callable
        Adds to the lines of the table what compares them.
    own_methods : tuple of str
        Methods of scoring that it has beside those of all studies.
    """

    name: str
    about: str
    plan: Callable[[Asked], list[Cell]]
    rows: tuple[str, ...]
    values: tuple[str, ...]
    draw: Draw
    options: Mapping[str, Any] = field(default_factory=dict)
    schedule: str | None = None
    gather: Gather = list
    finish: Finish = list
    own_methods: tuple[str, ...] = ()

    def table(self, found: Sequence[tuple[Plain, Plain]]) -> list[Line]:
        """The lines of the study's table, from tags and results of its cells."""
        from oamip_benchmarks.experiments.reporting.table import summarise

        return self.finish(summarise(self.gather(found), self.rows, self.values))


def settings(asked: Asked, network: str, data: str | None = None) -> list[Setting]:
    """One setting for each seed.

    Raises
    ------
    InputError
        For a network or data set that is not known or does not fit.
    """
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
    """Training and test images of a data set.

    Raises
    ------
    InputError
        Where it is not here, or ``download`` has no use.
    """
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
    """How the authors trained such a network on such data, by their scripts.

    They took RMSprop for MNIST and its relatives; on CIFAR-10 SGD, and for VGG-16 decoupled greedy training ("greedy").
    Data that they did not use are trained on as MNIST.

    Parameters
    ----------
    network, data : str
        Their names.
    epochs : int or None
        Other epochs, where given.

    Examples
    --------
    >>> published_recipe("fc3", "fashion-mnist", 2)
    {'optimizer': 'rmsprop', 'learning_rate': 0.001, 'batch_size': 128, 'epochs': 2}
    """
    from oamip_model.training import PUBLISHED

    deep = network.startswith("vgg16")
    name = ("vgg16-cifar-10" if deep else "lenet5-cifar-10") if data == "cifar-10" else "mnist"
    recipe: Plain = dict(PUBLISHED[name]) | ({"greedy": True} if deep and data == "cifar-10" else {})
    return recipe if epochs is None else recipe | {"epochs": epochs}
