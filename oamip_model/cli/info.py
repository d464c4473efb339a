"""``oamip info``: what is read from a network."""

from __future__ import annotations

from typing import Any

import click

from oamip_model.cli.options import Verb, json_option, network_options
from oamip_model.cli.output import print_json


@click.command(cls=Verb)
@network_options
@json_option
def info(network: str, input_shape: tuple[int, ...] | None, output: str | None, as_json: bool) -> int:
    """Show the layers, score groups and size of the network NET, an .onnx, .pt2 or .nnet file.

    Below the table are the groups of units that share scores, and the ReLU layers whose units carry
    none. The multiply-accumulates of one image follow, and what was folded or left out.
    """
    import oamip_model as om

    known = om.read_network(network, input_shape, output=output)
    unscored = [layer.name for layer in known.layers if layer.activation == "relu" and layer.group is None]
    if as_json:
        print_json(_record(known, unscored))
        return 0
    click.echo(str(known))
    click.echo(f"takes {'x'.join(map(str, known.input_shape))}, gives {known.classes} outputs; {known.macs:,} "
               "multiply-accumulates an image")  # fmt: skip
    for group in known.groups:
        if len(group.layers) > 1:
            names = ", ".join(known.layers[index].name for index in group.layers)
            click.echo(f"group {group.name}: {group.size} units, gated in the layers {names}")
    if unscored:
        click.echo(f"ReLU layers without scores: {', '.join(unscored)}")
    for line in known.notes:
        click.echo(line)
    return 0


def _record(network: Any, unscored: list[str]) -> dict[str, Any]:
    """What --json prints of a network."""
    return {
        "source": network.source,
        "input_shape": list(network.input_shape),
        "outputs": network.classes,
        "parameters": network.parameters,
        "macs": network.macs,
        "fingerprint": network.fingerprint,
        "layers": [
            {
                "name": layer.name,
                "activation": layer.activation,
                "shape": list(layer.shape),
                "parameters": layer.parameters,
                "group": None if layer.group is None else network.groups[layer.group].name,
                "terms": [
                    {"map": term.map.name, "reads": "image" if term.source < 0 else network.layers[term.source].name,
                     "name": term.name}
                    for term in layer.terms
                ],
            }
            for layer in network.layers
        ],
        "groups": [
            {"name": group.name, "units": group.size, "producers": list(group.producers),
             "layers": [network.layers[index].name for index in group.layers]}
            for group in network.groups
        ],
        "unscored": unscored,
        "notes": list(network.notes),
    }  # fmt: skip
