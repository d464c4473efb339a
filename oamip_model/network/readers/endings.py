"""What may stand behind the logits of a network, in every kind of file.

These are probabilities, labels, and their forms. Operators have ONNX's names here.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

SMOOTH: Final = {"Softmax", "LogSoftmax", "Sigmoid", "Tanh", "Softplus"}
"""Functions of logits that keep the order of classes, or that of each output."""
OF_PROBABILITIES: Final = {"Log", "Clip"}
"""Functions of probabilities, which are left out with them."""
LABELS: Final = {"ArgMax", "TopK", "Hardmax", "Greater", "GreaterOrEqual", "Sign", "ArrayFeatureExtractor",
                 "LabelEncoder", "ZipMap"}  # fmt: skip
"""Choices of classes, and what names them."""
FORMS: Final = {"Identity", "Cast", "Reshape", "Flatten", "Squeeze", "Unsqueeze", "Transpose", "Mul", "Div", "Add",
                "Sub"}  # fmt: skip
"""What probabilities are moved, scaled and shifted by. Logits are moved, scaled and shifted alike."""
BEHIND_LOGITS: Final = SMOOTH | OF_PROBABILITIES | LABELS | FORMS
GONE: Final = SMOOTH | OF_PROBABILITIES
"""Operators in whose place their inputs are read."""
TWO_CLASSES: Final = "Sigmoid of two classes at the end left out: the outputs are 0 and its inputs"


def left_out(kind: str) -> str:
    """What is said of an operator at the end that was left out."""
    return f"{kind} at the end left out: the outputs are its inputs"


def parted(kinds: Sequence[str], after: bool = False) -> tuple[int, int]:
    """How many operators belong to the logits, and the place of the first label.

    The operators are in order, the output's own last. ``after``: there are probabilities before the first of them.

    Examples
    --------
    >>> parted(["Reshape", "Softmax", "Mul", "ArgMax"]), parted(["Mul", "Clip"]), parted(["Clip"], after=True)
    ((1, 3), (2, 2), (0, 1))
    """
    begin = 0
    while begin < len(kinds) and not after and kinds[begin] not in SMOOTH | LABELS:
        begin += 1
    return begin, next((place for place in range(begin, len(kinds)) if kinds[place] in LABELS), len(kinds))


def notes_of(kinds: Sequence[str], label: str | None, pair: bool) -> tuple[str, ...]:
    """What is said of operators at the end that were left out.

    ``label`` is a choice of a class behind them; ``pair``: there are two classes by one sigmoid.
    """
    said = [TWO_CLASSES] if pair else []
    said += [left_out(kind) for kind in kinds if kind in GONE]
    return (*said, *(() if label is None else (left_out(label),)))
