from __future__ import annotations

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

import oamip_model as om
from oamip_model.data import check_labels, per_class
from oamip_model.errors import InputError


def made(labels, classes=None) -> om.Dataset:
    labels = np.asarray(labels)
    images = np.arange(len(labels), dtype=np.float64)[:, None] * np.ones(2)
    return om.Dataset(images, labels, "made", int(labels.max()) + 1 if classes is None else classes)


def perfect(labels, wrong=()):
    """A classifier that is right about every image but those numbered in ``wrong``."""

    def forward(images):
        rows = images[:, 0].astype(int)
        right = np.asarray(labels)[rows]
        said = np.where(np.isin(rows, list(wrong)), (right + 1) % (max(labels) + 1), right)
        return np.eye(max(labels) + 1)[said]

    return forward


LABELS = st.lists(st.integers(0, 3), min_size=4, max_size=60).map(lambda rest: [0, 1, 2, 3, *rest])


@settings(deadline=None, derandomize=True)
@given(labels=LABELS, n=st.integers(1, 12), seed=st.integers(0, 2**40), data=st.data())
def test_a_balanced_choice_is_balanced_distinct_and_repeatable(labels, n, seed, data):
    wrong = data.draw(st.sets(st.integers(0, len(labels) - 1)))
    source, classifier = made(labels), perfect(labels, wrong)
    have = [sum(label == c and i not in wrong for i, label in enumerate(labels)) for c in range(4)]
    if min(have) < n // 4:
        with pytest.raises(InputError, match=r"class \d has \d+ correctly classified images in made, \d+ are needed"):
            om.choose_images(source, n=n, seed=seed, correct_for=classifier)
        return
    assume(min(have) >= -(-n // 4))
    chosen = om.choose_images(source, n=n, seed=seed, correct_for=classifier)
    counts = np.bincount(chosen.labels, minlength=4)
    assert counts.sum() == n
    assert counts.max() - counts.min() <= 1
    assert len(set(chosen.indices.tolist())) == n
    assert not wrong & set(chosen.indices.tolist())
    assert np.array_equal(chosen.images, source.images[chosen.indices])
    assert np.array_equal(chosen.labels, source.labels[chosen.indices])
    again = om.choose_images(source, n=n, seed=seed, correct_for=classifier)
    assert np.array_equal(again.indices, chosen.indices)


@settings(deadline=None, derandomize=True)
@given(n=st.integers(1, 39), seed=st.integers(0, 1000), balanced=st.booleans())
def test_more_images_keep_those_of_fewer(n, seed, balanced):
    source = made(np.arange(60) % 4)
    few, more = (om.choose_images(source, n=k, seed=seed, balanced=balanced) for k in (n, n + 1))
    assert set(few.indices.tolist()) < set(more.indices.tolist())


def test_every_ten_images_from_the_front_are_balanced():
    chosen = om.choose_images(om.load_dataset(), n=40)
    assert all(sorted(chosen.labels[i : i + 10]) == list(range(10)) for i in range(0, 40, 10))


def test_seeds_differ_and_give_the_odd_images_to_different_classes():
    data = om.load_dataset()
    choices = [om.choose_images(data, n=13, seed=seed) for seed in range(5)]
    assert len({tuple(c.indices.tolist()) for c in choices}) == 5
    assert len({tuple(np.flatnonzero(np.bincount(c.labels) == 2).tolist()) for c in choices}) > 1


def test_an_unbalanced_choice_takes_each_image_equally_often():
    source = made([0] * 15 + [1] * 5)
    times = np.zeros(20)
    for seed in range(400):
        times[om.choose_images(source, n=5, seed=seed, balanced=False).indices] += 1
    # Each count is binomial, 400 x 1/4: mean 100, standard deviation 8.7.
    assert np.all(np.abs(times - 100) < 40)


def test_only_as_many_images_as_needed_are_classified():
    labels, seen = np.arange(5000) % 10, []
    forward = perfect(labels.tolist())

    def counting(images):
        seen.append(len(images))
        return forward(images)

    om.choose_images(made(labels), n=10, correct_for=counting)
    assert sum(seen) <= 100


def test_networks_modules_and_functions_choose_alike():
    torch = pytest.importorskip("torch")
    data = om.load_dataset(split="test")
    module = om.make_network("dense-16", seed=3)

    class Network:
        def replay(self, images):
            with torch.no_grad():
                return module(torch.as_tensor(images, dtype=torch.float32)).numpy()

    options = {"n": 6, "classes": [0, 1, 3, 5, 7, 8, 9], "balanced": False}
    chosen = [om.choose_images(data, correct_for=f, **options) for f in (module, Network(), Network().replay)]
    assert all(np.array_equal(c.indices, chosen[0].indices) for c in chosen)
    assert "classified correctly only" in chosen[0].source
    assert np.array_equal(Network().replay(chosen[0].images).argmax(axis=1), chosen[0].labels)
    with pytest.raises(InputError, match="train mode"):
        om.choose_images(data, correct_for=module.train(), **options)


def test_some_classes_only():
    data = om.load_dataset()
    chosen = om.choose_images(data, n=6, classes=[7, 2])
    assert sorted(set(chosen.labels.tolist())) == [2, 7]
    assert chosen.classes == 10
    assert "classes 2, 7" in chosen.source
    assert set(om.choose_images(data, n=6, classes=3).labels.tolist()) == {0, 1, 2}


def test_per_class_gives_each_class_its_own_images():
    data = om.load_dataset()
    sets = per_class(data, k=4, seed=2)
    assert sorted(sets) == list(range(10))
    for label, chosen in sets.items():
        assert chosen.labels.tolist() == [label] * 4
        assert np.array_equal(data.images[chosen.indices], chosen.images)
    with pytest.raises(InputError, match=r"class 0 has 150 images .* 151 are needed"):
        per_class(data, k=151)


def test_arrays_do_as_well_as_a_dataset():
    data = om.load_dataset()
    assert np.array_equal(om.choose_images(data.images, data.labels, n=7).indices, om.choose_images(data, n=7).indices)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"n": 0}, "n: got 0"),
        ({"n": -3}, "n: got -3"),
        ({"n": 2.5}, "n: got 2.5"),
        ({"n": True}, "n: got True"),
        ({"n": 1, "seed": -1}, "seed: got -1"),
        ({"n": 1, "seed": None}, "seed: got None"),
        ({"n": 13}, "class 2 has 2 images in made, "),
        ({"n": 3, "classes": [0, 5]}, "class 5 has 0 images"),
        ({"n": 3, "classes": []}, "classes: got"),
        ({"n": 3, "classes": 0}, "classes: got 0"),
        ({"n": 3, "classes": [-1]}, "classes: got"),
        ({"n": 3, "classes": [0.5]}, "classes: got"),
        ({"n": 3, "classes": "01"}, "classes: got"),
        ({"n": 30, "balanced": False}, "13 images in made, 30 are needed"),
        ({"labels": 10}, "labels: a Dataset brings its own"),
        ({"n": 3, "correct_for": 7}, "correct_for: got a int"),
        ({"n": 3, "correct_for": lambda x: np.zeros(len(x))}, "correct_for: .* logits of shape"),
        ({"n": 3, "correct_for": lambda x: np.full((len(x), 4), np.nan)}, "correct_for: .* not finite"),
        ({"n": 3, "correct_for": lambda x: np.zeros((len(x), 2))}, "correct_for: .* label .* is 2"),
    ],
)
def test_bad_options_are_refused_in_one_line(options, words):
    source = made([0] * 6 + [1] * 5 + [2] * 2)
    with pytest.raises(InputError, match=words) as error:
        om.choose_images(source, **options)
    assert "\n" not in str(error.value)


def test_a_class_without_correct_images_is_named():
    labels = [0, 1, 0, 1, 0, 1]
    with pytest.raises(InputError, match="class 1 has 0 correctly classified images in made, 1 are needed"):
        om.choose_images(made(labels), n=2, correct_for=perfect(labels, wrong=(1, 3, 5)))


@pytest.mark.parametrize(
    ("labels", "classes", "words"),
    [
        ([0, 1, 2], 2, "label 2 is 2, accepted are integers from 0 to 1"),
        ([0, -1, 9], 2, "label 1 is -1"),
        ([0.5], 2, "label 0 is 0.5"),
        ([np.inf], None, "label 0 is inf"),
        ([True], 2, "type bool"),
        ([], 2, "no labels"),
        (3, 2, "shape"),
        ([0], 0, "classes=0"),
        ([[0, 1], [1]], 2, "not one array"),
    ],
)
def test_labels_out_of_range_name_the_first(labels, classes, words):
    with pytest.raises(InputError, match=words):
        check_labels(labels, classes)


def test_a_dataset_is_checked_when_it_is_made():
    with pytest.raises(InputError, match="2 images and 1 labels"):
        om.Dataset(np.zeros((2, 3)), [0], "made", 2)
    with pytest.raises(InputError, match="made: indices"):
        om.Dataset(np.zeros((2, 3)), [0, 1], "made", 2, np.arange(3))
