"""``oamip baseline``: scores of a network's units by a simple rule.

It needs no solver.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, cast

import click

from oamip_model.cli.numbers import SEED, Count
from oamip_model.cli.options import Verb, check_data, check_out, data_options, json_option, network_options
from oamip_model.cli.output import print_json
from oamip_model.cli.score import print_scores, record
from oamip_model.errors import InputError


@click.command(cls=Verb)
@click.argument("method", metavar="RULE")
@network_options
@click.option("--scores", type=click.Path(path_type=Path), metavar="FILE", help="From `oamip score`, for critical.")
@data_options(split=None)
@click.option("--images", "n", type=Count(), default="all", show_default=True,
              help="How many images, as many of each class; all: every image.")  # fmt: skip
@click.option("--seed", type=SEED, default=0, show_default=True, help="Seed of random, and of the choice of images.")
@click.option("--out", type=click.Path(path_type=Path), help="Save the scores to this .json file, for `oamip prune`.")
@json_option
def baseline(
    method: str,
    network: str,
    scores: Path | None,
    data: str,
    split: Any,
    download: bool,
    input_shape: tuple[int, ...] | None,
    output: str | None,
    n: int | str,
    seed: int,
    out: Path | None,
    as_json: bool,
) -> int:
    """Score the units of the network NET, an .onnx, .pt2 or .nnet file, by a simple RULE, for comparison.

    RULE is random, weight-norm (incoming times outgoing), weight-l1, weight-l2 or geometric-median
    (of incoming weights). The rules mean-activation, apoz, taylor and snip use the images of
    --data. With critical the scores in the file of --scores are reversed, so that `oamip prune`
    removes the highest.
    """
    if (method == "critical") != (scores is not None):
        raise InputError("--scores: critical needs a file of scores, and no other rule takes one")
    if out is not None:
        check_out(out, network, data, *(() if scores is None else (scores,)), suffixes=(".json",))

    import oamip_model as om
    from oamip_model.pruning.baselines.rules import WITH_IMAGES, Baseline
    from oamip_model.scoring.select import check_scores

    plain = om.read_network(network, input_shape, output=output)
    if scores is not None:
        known = om.load_scores(scores)
        check_scores(known, plain)
        result = om.critical_scores(known)
    else:
        images = None
        if method in WITH_IMAGES:
            images = om.load_dataset(data, split=split, download=download)
            check_data(plain, images)
            if isinstance(n, int):
                images = om.choose_images(images, n=n, seed=seed)
        result = om.baseline_scores(plain, cast(Baseline, method), seed, images=images)
    if out is not None:
        result.save(out)
    if as_json:
        print_json(record(result) | {"out": None if out is None else str(out)})
    else:
        print_scores(result)
        if out is not None:
            click.echo(f"saved to {out}")
    return 0
