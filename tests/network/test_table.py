"""print(network) is a table of its layers."""

from __future__ import annotations


def test_every_layer_is_a_line_and_parameters_add_up(problem_of, kind):
    network = problem_of(kind).network
    head, rule, *lines, last = str(network).splitlines()
    assert head.split()[:3] == ["layer", "reads", "maps"]
    assert set(rule) == {"-", " "}
    assert [line.split()[0] for line in lines] == [layer.name for layer in network.layers]
    assert f" {network.parameters:,} " in last
    assert last.endswith(str(sum(group.size for group in network.groups)))


def test_a_dense_network_reads_like_this(problem_of):
    network = problem_of("dense").network
    first, second = (group.size for group in network.groups)
    lines = [line.split() for line in str(network).splitlines()[2:]]
    assert lines[0] == ["0", "image", "4", "Dense", "relu", str(first), str(5 * first), str(first)]
    assert lines[1][:4] == ["2", "0", "Dense", "relu"]
    assert lines[2][:5] == ["4", "2", "Dense", "none", "3"]
    assert lines[3] == ["in", "all", str(network.parameters), str(first + second)]


def test_layers_tied_by_an_addition_name_their_score_group(problem_of):
    network = problem_of("residual").network
    table = str(network)
    tied = next(group for group in network.groups if len(group.layers) > 1)
    assert f"({tied.name})" in table
    assert " + " in table
