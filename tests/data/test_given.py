"""Images as callers give them: torch data sets and loaders are taken wherever arrays are."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader, IterableDataset, TensorDataset

import oamip_model as om
from oamip_model.data import given
from oamip_model.data.given import as_dataset

IMAGES, LABELS = torch.rand(7, 4, generator=torch.Generator().manual_seed(1)), torch.arange(7) % 2


class Stream(IterableDataset):
    def __iter__(self):
        return iter(zip(IMAGES, LABELS, strict=True))


@pytest.mark.parametrize(
    "source", [TensorDataset(IMAGES, LABELS), DataLoader(TensorDataset(IMAGES, LABELS), batch_size=3), Stream()],
    ids=["dataset", "loader", "iterable"],
)  # fmt: skip
def test_images_and_labels_are_those_of_the_arrays(source):
    data = as_dataset(source)
    np.testing.assert_allclose(data.images, IMAGES.numpy().astype(float))
    assert data.labels.tolist() == LABELS.tolist()


def test_every_function_takes_a_loader_as_it_takes_arrays():
    module = torch.nn.Sequential(torch.nn.Linear(4, 3), torch.nn.ReLU(), torch.nn.Linear(3, 2)).eval()
    loader, arrays = DataLoader(TensorDataset(IMAGES, LABELS), batch_size=2), (IMAGES.numpy(), LABELS.numpy())
    one, two = om.score(module, loader), om.score(module, *arrays)
    np.testing.assert_array_equal(one.by_layer["0"], two.by_layer["0"])
    network = om.read_network(module, (4,))
    built = [om.compile_arrays(om.build_instance(network, *images)) for images in ((loader,), arrays)]
    assert (built[0].matrix != built[1].matrix).nnz == 0
    scores = om.score(network, loader, method=om.Elimination(amount=0.3))
    np.testing.assert_array_equal(
        scores.by_layer["0"], om.score(module, loader, method=om.Elimination(amount=0.3)).by_layer["0"]
    )
    taylor = [
        om.baseline_scores(network, "taylor", images=loader),
        om.baseline_scores(network, "taylor", images=arrays[0], labels=arrays[1]),
    ]
    np.testing.assert_array_equal(taylor[0].by_layer["0"], taylor[1].by_layer["0"])


@pytest.mark.parametrize(("source", "labels", "message"), [
    (DataLoader(IMAGES), None, "labels: the DataLoader gives images without labels"),
    (DataLoader(TensorDataset(IMAGES, LABELS)), [0], "labels: a DataLoader carries its labels"),
    (iter([]), None, "images: got list_iterator, accepted are"), ("pictures", [0], "images: got str, accepted are"),
    (None, [0], "images: got NoneType, accepted are"), (IMAGES.numpy(), None, "labels: got none"),
    ([["a"], {}], [0, 1], "arrays given by the caller: "),
])  # fmt: skip
def test_what_cannot_be_taken_is_refused_in_a_line(source, labels, message):
    with pytest.raises(om.InputError, match=f"^{message}[^\n]*$"):
        as_dataset(source, labels)


def test_a_loader_that_does_not_fit_in_memory_is_refused(monkeypatch):
    monkeypatch.setattr(given, "_MOST_NUMBERS", 20)
    with pytest.raises(om.InputError, match=r"^images: those of the TensorDataset take more than"):
        as_dataset(TensorDataset(torch.ones(2000, 4), torch.zeros(2000, dtype=torch.int64)))


@pytest.mark.parametrize("form", ["data set", "torch data set", "loader"])
def test_training_choices_and_bounds_take_what_scores_take(form):
    arrays = (IMAGES.numpy().astype(float), LABELS.numpy())
    torch_set = TensorDataset(torch.tensor(arrays[0]), LABELS)
    forms = {
        "data set": om.Dataset(*arrays, "seven points", 2),
        "torch data set": torch_set,
        "loader": DataLoader(torch_set, batch_size=3),
    }

    def trained(*given):
        """Weights and shares from every function that trains or classifies."""
        torch.manual_seed(0)
        layers = [[torch.nn.Linear(4, 3), torch.nn.ReLU(), torch.nn.Linear(3, 2)] for _ in range(2)]
        module, greedy = (torch.nn.Sequential(*parts) for parts in layers)
        om.train(module, *given, epochs=2, threads=1)
        tuned, _ = om.fine_tune(module.eval(), *given, keep={"0": [True, False, True]}, epochs=1, threads=1)
        ticket, _ = om.retrain(module, {"0": [True, False, True]}, *given, epochs=1, threads=1)
        om.train_greedy(greedy, *given, epochs=1, threads=1)
        arguments = given if len(given) == 2 else (*given, None)
        keep = {"0": [True, False, True]}
        small = om.prune_while_training(module, *arguments, lambda *_: keep, every=1, epochs=2, threads=1).module
        parts = [p.detach().flatten() for one in (module, tuned, ticket, greedy, small) for p in one.parameters()]
        return torch.cat([*parts, torch.tensor([om.accuracy(greedy, *given)])])

    assert torch.equal(trained(forms[form]), trained(*arrays))
    chosen, expected = (om.choose_images(*given, n=3, seed=1) for given in ((forms[form],), arrays))
    assert chosen.indices.tolist() == expected.indices.tolist()
    module = torch.nn.Sequential(torch.nn.Linear(4, 3), torch.nn.ReLU(), torch.nn.Linear(3, 2)).eval()
    network = om.read_network(module, (4,))
    found, wanted = (om.compute_bounds(network, given) for given in (forms[form], arrays[0]))
    np.testing.assert_array_equal(found.upper[1], wanted.upper[1])


def test_what_cannot_be_read_twice_or_has_no_labels_is_refused():
    module = torch.nn.Sequential(torch.nn.Linear(4, 3), torch.nn.ReLU(), torch.nn.Linear(3, 2)).eval()
    with pytest.raises(om.InputError, match=r"^labels: got none, one integer per image is needed$"):
        om.train(module, IMAGES.numpy())
    with pytest.raises(om.InputError, match=r"^labels: got none, one integer per image is needed$"):
        om.accuracy(module, IMAGES.numpy())
    with pytest.raises(om.InputError, match=r"^labels: the DataLoader gives images without labels"):
        om.fine_tune(module, DataLoader(TensorDataset(IMAGES)))
    with pytest.raises(om.InputError, match=r"^images: got list_iterator, accepted are an array, a Dataset"):
        om.compute_bounds(om.read_network(module, (4,)), iter([IMAGES]))
