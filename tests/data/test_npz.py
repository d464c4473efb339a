"""Data sets in .npz files of the user's own."""

from __future__ import annotations

import numpy as np
import pytest
from one_line import one_line

import oamip_model as om
from oamip_model.errors import InputError


class TestNpz:
    images = np.arange(3 * 64, dtype=np.uint8).reshape(3, 8, 8)
    labels = np.array([0, 2, 1])

    @pytest.mark.parametrize("keys", [("images", "labels"), ("x", "y")])
    def test_bytes_are_scaled_and_floats_are_kept(self, tmp_path, keys):
        np.savez(tmp_path / "a.npz", **dict(zip(keys, (self.images, self.labels), strict=True)))
        np.savez(tmp_path / "b.npz", **dict(zip(keys, (self.images - 100.0, self.labels), strict=True)))
        scaled, kept = om.load_dataset(tmp_path / "a.npz"), om.load_dataset(str(tmp_path / "b.npz"), split="all")
        assert np.array_equal(scaled.images[:, 0], self.images / 255)
        assert np.array_equal(kept.images[:, 0], self.images - 100.0)
        assert scaled.classes == 3
        assert str(tmp_path / "a.npz") in scaled.source

    @pytest.mark.parametrize("keys", ["{0}_{1}", "{1}_{0}"])
    def test_splits(self, tmp_path, keys):
        names = ("x", "y") if keys == "{0}_{1}" else ("images", "labels")
        x, y = ([keys.format(name, split) for split in ("train", "test")] for name in names)
        np.savez(tmp_path / "a.npz", **{x[0]: self.images, y[0]: self.labels, x[1]: self.images[:2], y[1]: [[5], [4]]})
        train, test, every = (om.load_dataset(tmp_path / "a.npz", split=s) for s in (None, "test", "all"))
        assert (train.labels.tolist(), test.labels.tolist()) == ([0, 2, 1], [5, 4])
        assert train.classes == test.classes == every.classes == 6
        assert every.count == 5

    def test_pictures_with_channels_last_are_turned(self, tmp_path):
        colour = np.random.default_rng(0).integers(0, 256, (2, 5, 6, 3), dtype=np.uint8)
        np.savez(tmp_path / "a.npz", x=colour, y=[0, 1])
        assert np.array_equal(om.load_dataset(tmp_path / "a.npz").images[1, 2] * 255, colour[1, :, :, 2])

    @pytest.mark.parametrize(
        ("arrays", "words"),
        [
            ({"pixels": images, "labels": labels}, "keys pixels, labels"),
            ({}, "keys none"),
            ({"x": images, "y": labels[:2]}, "3 images and 2 labels"),
            ({"x": images, "y": [0, 1, -1]}, "label 2 is -1"),
            ({"x": images, "y": [0.0, 0.5, 1.0]}, "label 1 is 0.5"),
            ({"x": images, "y": [0.0, np.nan, 1.0]}, "label 1 is nan"),
            ({"x": images, "y": ["a", "b", "c"]}, "labels of type <U1"),
            ({"x": images, "y": np.eye(3)}, r"labels of shape \(3, 3\)"),
            ({"x": images.astype(np.int64), "y": labels}, "pixels of type int64"),
            ({"x": np.where(images == 70, np.nan, images), "y": labels}, "image 1 has a pixel that is NaN"),
            ({"x": np.zeros((0, 8, 8)), "y": []}, "no images"),
            ({"x": np.zeros((3, 0, 8)), "y": labels}, r"shape \(3, 0, 8\)"),
            ({"x": np.zeros(3), "y": labels}, r"shape \(3,\)"),
            ({"x": np.array([None, 1, 2]), "y": labels}, "cannot be read"),
            ({"x_train": images, "y_train": labels, "x_test": np.zeros((1, 4)), "y_test": [0]}, "differ in shape"),
        ],
    )
    def test_bad_content_is_refused_by_file_and_reason(self, tmp_path, arrays, words):
        np.savez(tmp_path / "bad.npz", **arrays)
        with pytest.raises(InputError, match=words) as error:
            om.load_dataset(tmp_path / "bad.npz", split="all")
        assert str(tmp_path / "bad.npz") in one_line(error)

    @pytest.mark.parametrize("raw", [b"", b"hello", b"PK\x03\x04" + bytes(40), b"\x93NUMPY\x01\x00"])
    def test_damaged_files_are_refused(self, tmp_path, raw):
        (tmp_path / "bad.npz").write_bytes(raw)
        with pytest.raises(InputError) as error:
            om.load_dataset(tmp_path / "bad.npz")
        assert str(tmp_path / "bad.npz") in one_line(error)

    def test_any_flipped_or_missing_byte_is_noticed_or_harmless(self, tmp_path):
        path = tmp_path / "a.npz"
        np.savez_compressed(path, x=self.images, y=self.labels)
        whole = path.read_bytes()
        damaged = [whole[:cut] for cut in range(0, len(whole), 7)]
        damaged += [whole[:i] + bytes([whole[i] ^ 0xFF]) + whole[i + 1 :] for i in range(0, len(whole), 3)]
        refused = 0
        for raw in damaged:
            path.write_bytes(raw)
            try:
                data = om.load_dataset(path)
            except InputError:
                refused += 1
            else:
                assert np.array_equal(data.labels, self.labels)
        assert refused > len(damaged) / 2

    def test_a_split_that_the_file_has_not_is_refused(self, tmp_path):
        np.savez(tmp_path / "whole.npz", x=self.images, y=self.labels)
        np.savez(tmp_path / "train.npz", x_train=self.images, y_train=self.labels)
        with pytest.raises(InputError, match="no split"):
            om.load_dataset(tmp_path / "whole.npz", split="test")
        with pytest.raises(InputError, match="no test split, it has train"):
            om.load_dataset(tmp_path / "train.npz", split="test")

    def test_an_npy_file_is_not_an_npz_file(self, tmp_path):
        np.save(tmp_path / "a.npy", self.images)
        (tmp_path / "a.npy").rename(tmp_path / "a.npz")
        with pytest.raises(InputError, match="one array"):
            om.load_dataset(tmp_path / "a.npz")
