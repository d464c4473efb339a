"""Options that verbs share, and the verb class.

The class names options in error messages as the user typed them.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from oamip_model.cli.objects import GroupedHelp, ObjectOption
from oamip_model.cli.output import INTERRUPTED, alive
from oamip_model.errors import InputError
from oamip_model.files import alone, check_writable

if TYPE_CHECKING:
    from oamip_model.data import Dataset
    from oamip_model.network.types import Network

Function = TypeVar("Function", bound=Callable[..., Any])
DATA = "fashion-mnist-2000"
_BALANCED = "balanced"


class Verb(GroupedHelp):
    """A command whose InputErrors start with the option that was given.

    The library names its argument there.

    The library says ``weight: got -1.0, ...``, the command line ``--weight: got -1.0, ...``.
    """

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command."""
        try:
            with alive():
                return super().invoke(ctx)
        except InputError as error:
            name, colon, rest = str(error).partition(":")
            options = [p for p in self.params if isinstance(p, click.Option)]
            # Also by the flag's name, since the variable of an option that may be repeated is a plural.
            flags = {p.opts[0].lstrip("-").replace("-", "_"): p.opts[0] for p in options}
            flags |= {p.name: p.opts[0] for p in options if p.name}
            flags |= {name: p.opts[0] for p in options if isinstance(p, ObjectOption) for name in p.names}
            if colon and name in flags:
                raise InputError(f"{flags[name]}:{rest}") from error
            raise
        except KeyboardInterrupt as stop:
            raise Interrupted(str(stop) or "interrupted, nothing was saved") from stop


class Interrupted(click.ClickException):
    """Ctrl-C, before there was anything to save.

    Click's own handling would print an empty line.
    """

    exit_code = INTERRUPTED


class Shape(click.ParamType[tuple[int, ...]]):
    """The shape of one image, written as whole numbers with commas: 1,28,28."""

    name = "C,H,W"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[int, ...]:
        """The shape as a tuple."""
        if isinstance(value, tuple):
            return value
        try:
            shape = tuple(int(part) for part in str(value).split(","))
        except ValueError:
            shape = ()
        if not shape or min(shape) < 1:
            self.fail(f"{value!r} is not the shape of one image, such as 1,28,28", param, ctx)
        return shape


def json_option(function: Function) -> Function:
    """Adds --json."""
    return click.option("--json", "as_json", is_flag=True, help="Print one JSON object, and nothing else.")(function)


def shape_option(function: Function) -> Function:
    """Adds --input-shape."""
    return click.option(
        "--input-shape", type=Shape(), help="Shape of one image, such as 1,28,28, where the file does not say it."
    )(function)


def reading_options(function: Function) -> Function:
    """Adds --input-shape and --output."""
    named = click.option("--output", metavar="NAME", help="Which output of NET is read, where the file has several.")
    return shape_option(named(function))


def network_options(function: Function) -> Function:
    """Adds the argument NET, --input-shape and --output."""
    return click.argument("network", metavar="NET")(reading_options(function))


def data_options(split: str | None) -> Callable[[Function], Function]:
    """Adds --data, --split (with this default) and --download."""

    def add(function: Function) -> Function:
        function = click.option("--download", is_flag=True, help="Fetch the data set from OpenML if it is not here.")(
            function
        )
        told = "test" if split == "test" else "train, or all of a source without splits"
        function = click.option(
            "--split", type=click.Choice(["train", "test", "all"]), default=split,
            help=f"Which part of the data.  [default: {told}]",
        )(function)  # fmt: skip
        text = "A data set's name (fashion-mnist-2000, which comes with the package, fashion-mnist, mnist, kmnist, "
        text += "cifar-10, digits), or an .npz file with images and labels."
        return click.option("--data", default=DATA, show_default=True, metavar="D", help=text)(function)

    return add


def weight_options(function: Function) -> Function:
    """Adds --class-weight and --sample-weight."""
    function = click.option(
        "--sample-weight", type=click.Path(path_type=Path), metavar="FILE",
        help="Weight of each image of --data and --split in the loss: a text file, one number a line.",
    )(function)  # fmt: skip
    return click.option(
        "--class-weight", metavar="balanced|FILE",
        help="Weight of each class in the loss: the same in all for each class of the images that are used, or "
        "a text file, one number a line.",
    )(function)  # fmt: skip


def with_sample_weights(source: Dataset, path: Path | None) -> Dataset:
    """The data set with the weights of a file."""
    if path is None:
        return source
    from oamip_model.data.weights import read_weights

    weights = read_weights(path, "sample_weight")
    if len(weights) != len(source):
        raise InputError(f"sample_weight: {path} has {len(weights)} numbers, {source.source} has {len(source)} images")
    return _named(source, "sample_weight", images=weights)


def with_class_weights(source: Dataset, given: str | None) -> Dataset:
    """The data set with weights of its classes, by the name of a rule or a file."""
    if given is None:
        return source
    from oamip_model.data.weights import read_weights

    if given != _BALANCED and not Path(given).exists():
        raise InputError(f"class_weight: there is no file {given}; accepted are {_BALANCED} and a text file")
    classes = given if given == _BALANCED else read_weights(given, "class_weight")
    return _named(source, "class_weight", classes=classes)


def _named(source: Dataset, option: str, **weights: Any) -> Dataset:
    try:
        return source.weighted(**weights)
    except InputError as error:
        raise InputError(f"{option}: {str(error).partition(': ')[2]}") from None


def check_data(network: Network, source: Dataset) -> None:
    """Make sure that the images of --data are of the shape that the network takes."""
    try:
        network.check_images(source.images[:1])
    except InputError as error:
        raise InputError(f"data: {source.source}: {error}") from None


def check_log(path: str | None, *others: str | Path | None) -> None:
    """Make sure that the file of --log-file can be appended to.

    It must be none of the other files of the command.
    """
    if path is None:
        return
    log = check_writable(path, "--log-file").resolve()
    for other in others:
        if other is not None and Path(other).resolve() == log:
            raise InputError(f"--log-file: {path} is another file of this command as well")


def check_place(path: Path, *inputs: str | Path | None, suffixes: tuple[str, ...], option: str) -> Path:
    """The path of an option, where a file can be created.

    That is made sure before any work.

    Raises InputError for another suffix than ``suffixes``, a path that cannot be written, and one of ``inputs``.
    """
    if path.suffix not in suffixes:
        raise InputError(f"{option}: {path} is not a name ending in {' or '.join(suffixes)}")
    check_writable(path, option)
    for given in inputs:
        if given is not None and path.exists() and Path(given).exists() and path.samefile(given):
            raise InputError(f"{option}: {path} is also an input, and would be overwritten")
    return path


def check_out(path: Path, *inputs: str | Path | None, suffixes: tuple[str, ...], option: str = "--out") -> Path:
    """The path of --out or another option, as :func:`check_place` gives it.

    Until the verb ends no other process may write there. Raises InputError, too, for one that another process is about
    to write.
    """
    check_place(path, *inputs, suffixes=suffixes, option=option)
    click.get_current_context().with_resource(alone(path, option))
    return path
