"""The options of a refit."""

from __future__ import annotations

from typing import TypeAlias

from oamip_model.checks import Checked, Flag, Needs, option, options
from oamip_model.errors import InputError
from oamip_model.kinds import Choice, File, Number, Switch, Text, Whole

LEVELS = ("least-squares", "output", "outgoing")
"""Each level begins with those before it."""
MASK_ROWS = 50
"""Rows for each column from which masks are found. No weights come from them, so a quarter is taken."""


_WITH_OUTPUT = Needs("level", LEVELS[1:], "only the levels output and outgoing have a use for it")
_TRAINED = Needs("level", LEVELS[2:], "only the level outgoing has a use for it")


@options
class Refit(Checked):
    """How the weights that are left after a cut are fitted.

    They are fitted to the trained network. No labels are used. "least-squares" fits, from the first
    layer to the last, each layer whose inputs the cut changes to its pre-activations in the trained
    network. "output" then fits the last layer to the trained network's softmax. "outgoing" then trains
    the weights of all layers but the first to it. Where no dense layer behind a ReLU gives the logits,
    it does so after "least-squares".

    Examples
    --------
    >>> Refit(level="outgoing", passes=5).level
    'outgoing'
    """

    level: str = option(
        default=LEVELS[0], kind=Choice(LEVELS), help="The last level; each begins with those before it."
    )
    ridge: float = option(
        default=1e-4, kind=Number(0, 1, least_open=True), flag="--ridge",
        help="Price of a change of weights in least squares, as a share of the mean square of the inputs.",
    )  # fmt: skip
    rows: int = option(
        default=200, kind=Whole(1), flag="--rows",
        help="Images and positions for each column of a layer's inputs. Convolutions take so many positions at random.",
    )  # fmt: skip
    relu_passes: int = option(
        default=10, kind=Whole(0), flag="--relu-passes",
        help="Steps for each layer with a ReLU, in which errors that the ReLU does not pass on no longer count. 0 is "
        "plain least squares.",
    )  # fmt: skip
    tolerance: float = option(
        default=1e-4, kind=Number(0, least_open=True), flag="--tolerance", needs=(_WITH_OUTPUT,),
        help="Gap, in nats an image, at which the output layer's convex program is solved.",
    )  # fmt: skip
    passes: int | None = option(
        default=None, kind=Whole(1), flag="--passes", needs=(_TRAINED,),
        shown="20 on a network that convolves, 30 on others, whose passes are short",
        help="Passes over the images, by outgoing.",
    )  # fmt: skip
    learning_rate: float = option(
        default=0.01, kind=Number(0, 1, least_open=True), flag="--learning-rate", needs=(_TRAINED,),
        help="Highest step of outgoing for each hundred images of a batch, as a share of the root mean square of each "
        "layer's weights. A batch has 100 images where the network convolves, and 200 elsewhere.",
    )  # fmt: skip
    held_out: float = option(
        default=0.1, kind=Number(0, 0.5, least_open=True), flag="--held-out", needs=(_TRAINED,),
        help="Share of the images that decide after which pass the weights of outgoing are taken.",
    )  # fmt: skip
    varied: bool = option(
        default=True, kind=Switch(), flag=Flag("--varied", off="--no-varied"), needs=(_TRAINED,),
        help="Whether outgoing changes the images at random. It mirrors, shifts and mixes those of a network that "
        "convolves, and only mixes those of others. The trained network answers them as changed.",
    )  # fmt: skip
    hidden: float = option(
        default=3.0, kind=Number(0), flag="--hidden", needs=(_TRAINED,),
        help="Price, in nats, of the hidden layers' mean squared distance from the trained ones, for outgoing on a "
        "network that convolves. The distance is a share of each layer's variance. 0 leaves it out.",
    )  # fmt: skip
    seed: int = option(default=0, kind=Whole(0), flag="--seed", help="Seed of all random numbers.")
    device: str = option(
        default="cpu", kind=Text("a device of torch"), flag="--device", help="Device of torch: cpu, cuda or auto."
    )
    checkpoint: str | None = option(
        default=None, kind=File(), flag="--checkpoint", shown="OUT.refit.safetensors, until the network is saved",
        help="Keep what each level and each pass of outgoing gave in this .safetensors file. The same refit continues "
        "from it.",
    )  # fmt: skip

    def reaches(self, level: str) -> bool:
        """Whether the refit includes this level.

        Parameters
        ----------
        level : str
            One of LEVELS.

        Returns
        -------
        bool
            True for the level of this refit, and for those before it.

        Examples
        --------
        >>> Refit(level="output").reaches("least-squares"), Refit(level="output").reaches("outgoing")
        (True, False)
        """
        return LEVELS.index(level) <= LEVELS.index(self.level)

    def passes_of(self, convolves: bool) -> int:
        """How many passes "outgoing" makes over the images.

        Parameters
        ----------
        convolves : bool
            Whether the network reads images by kernels.

        Returns
        -------
        int
            The passes of this refit, or by default 20 or 30.

        Examples
        --------
        >>> Refit().passes_of(True), Refit().passes_of(False), Refit(level="outgoing", passes=5).passes_of(True)
        (20, 30, 5)
        """
        if self.passes is not None:
            return self.passes
        return 20 if convolves else 30


AnyRefit: TypeAlias = "str | Refit"


def as_refit(given: AnyRefit) -> Refit:
    """The refit that was given, a level standing for its defaults."""
    if isinstance(given, Refit):
        return given
    if isinstance(given, str) and given in LEVELS:
        return Refit(level=given)
    said = repr(given) if isinstance(given, str) else type(given).__name__
    raise InputError(f"refit: got {said}, accepted are {', '.join(LEVELS)} or a Refit")
