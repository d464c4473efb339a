"""A Dataset has a length, and parts of it are data sets that know where they come from."""

from __future__ import annotations

import numpy as np
import pytest

import oamip_model as om
from oamip_model.errors import InputError


@pytest.fixture
def data():
    return om.Dataset(np.arange(12.0).reshape(6, 2), [0, 1, 2, 0, 1, 2], source="six points", classes=3)


def test_the_length_is_the_number_of_images(data):
    assert len(data) == data.count == 6


@pytest.mark.parametrize(
    ("at", "places"),
    [
        (slice(1, 4), [1, 2, 3]),
        (slice(None, None, -2), [5, 3, 1]),
        ([4, 0, 4], [4, 0, 4]),
        (np.array([-1, 2]), [5, 2]),
        (np.array([True, False, False, True, False, False]), [0, 3]),
    ],
)
def test_a_part_is_a_data_set_of_those_images(data, at, places):
    part = data[at]
    assert isinstance(part, om.Dataset)
    np.testing.assert_array_equal(part.images, data.images[places])
    assert part.labels.tolist() == [k % 3 for k in places]
    assert part.indices.tolist() == places
    assert (part.classes, part[0:1].indices.tolist()) == (3, places[:1])
    assert f"{len(places)} of its 6 images" in part.source


def test_one_number_gives_an_image_and_its_label(data):
    image, label = data[4]
    assert (image.tolist(), label) == ([8.0, 9.0], 1)
    assert type(label) is int
    with pytest.raises(IndexError):
        data[6]


@pytest.mark.parametrize(
    ("at", "told"),
    [
        ([6], "index 6, accepted are numbers below 6"),
        ([-7], "index -7"),
        ([0.5], "accepted are a number, a slice"),
        ([True, False], "a mask of 6 values"),
        (np.zeros((2, 2), dtype=int), "accepted are a number, a slice"),
        (slice(3, 3), "no image"),
        ([], "no image"),
        ("one", "accepted are a number, a slice"),
    ],
)
def test_an_index_that_names_no_images_is_refused_in_one_line(data, at, told):
    with pytest.raises(InputError, match=told) as error:
        data[at]
    assert "\n" not in str(error.value)


def test_a_data_set_is_still_images_and_labels(data):
    images, labels = data[:2]
    assert images.shape == (2, 2)
    assert labels.tolist() == [0, 1]
