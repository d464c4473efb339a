from __future__ import annotations

import gzip
import struct
import sys
from pathlib import Path

import numpy as np
import pytest
from idx_files import write_idx
from one_line import one_line

import oamip_model as om
from oamip_model.data import idx, read_idx
from oamip_model.data.load import NAMES
from oamip_model.errors import InputError

DEBIAN = idx.DEBIAN["fashion-mnist"]
NO_ORIGINAL = "the original Fashion-MNIST (Debian package dataset-fashion-mnist) is not installed"


@pytest.mark.parametrize(("split", "each"), [("train", 150), ("test", 50), ("all", 200)])
def test_the_embedded_subset_is_balanced_and_has_no_image_twice(split, each):
    data = om.load_dataset(split=split)
    assert np.bincount(data.labels).tolist() == [each] * 10
    assert len(set(data.indices.tolist())) == data.count == 10 * each
    assert data.images.shape == (10 * each, 1, 28, 28)
    assert data.images.dtype == np.float64
    assert data.images.min() == 0
    assert data.images.max() == 1
    assert "embedded" in data.source
    assert str(10 * each) in data.source


@pytest.mark.skipif(not DEBIAN.is_dir(), reason=NO_ORIGINAL)
@pytest.mark.parametrize("split", ["train", "test", "all"])
def test_the_embedded_subset_is_what_the_original_files_hold(split, monkeypatch):
    monkeypatch.delenv("OAMIP_DATA", raising=False)
    subset, original = om.load_dataset(split=split), om.load_dataset("fashion-mnist", split=split)
    assert np.array_equal(subset.images, original.images[subset.indices])
    assert np.array_equal(subset.labels, original.labels[subset.indices])
    assert str(DEBIAN) in original.source


@pytest.mark.skipif(not DEBIAN.is_dir(), reason=NO_ORIGINAL)
def test_the_script_makes_the_embedded_subset_again(tmp_path, monkeypatch):
    from oamip_benchmarks.make_subset import main

    monkeypatch.delenv("OAMIP_DATA", raising=False)
    main(str(tmp_path / "again.npz"))
    with (
        np.load(tmp_path / "again.npz") as again,
        np.load(Path(idx.__file__).with_name("fashion_mnist_2000.npz")) as own,
    ):
        assert set(again) == set(own)
        assert all(np.array_equal(again[name], own[name]) for name in own)


def test_idx_files_are_read_plain_and_gzipped(idx_folder):
    train, test, every = (om.load_dataset("mnist", split=split) for split in ("train", "test", "all"))
    assert (train.count, test.count, every.count) == (6, 4, 10)
    assert np.array_equal(every.images, np.concatenate([train.images, test.images]))
    assert every.indices.tolist() == list(range(10))
    raw = read_idx(idx_folder / "train-images-idx3-ubyte.gz", 3)
    assert np.array_equal(np.rint(train.images[:, 0] * 255), raw)
    assert str(idx_folder) in train.source


def test_idx_files_may_lie_in_the_variables_own_folder(idx_folder, monkeypatch):
    monkeypatch.setenv("OAMIP_DATA", str(idx_folder))
    assert om.load_dataset("mnist").count == 6


def test_a_name_without_files_says_where_it_looked_and_what_to_do(monkeypatch, tmp_path):
    monkeypatch.setattr(idx, "DEBIAN", {"fashion-mnist": tmp_path / "nowhere"})
    monkeypatch.delenv("OAMIP_DATA", raising=False)
    with pytest.raises(InputError) as error:
        om.load_dataset("fashion-mnist")
    text = one_line(error)
    for part in ("OAMIP_DATA", str(tmp_path / "nowhere"), "fashion-mnist-2000", "download=True"):
        assert part in text
    monkeypatch.setenv("OAMIP_DATA", str(tmp_path))
    with pytest.raises(InputError, match=r"mnist: no IDX files in .*mnist, "):
        om.load_dataset("mnist")


def test_a_data_folder_that_is_not_there_is_an_error_not_a_detour(monkeypatch, tmp_path):
    monkeypatch.setenv("OAMIP_DATA", str(tmp_path / "absent"))
    with pytest.raises(InputError, match="OAMIP_DATA"):
        om.load_dataset("fashion-mnist")


GOOD = struct.pack(">IIII", 0x803, 2, 2, 2) + bytes(8)


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"\x00\x00\x08",
        GOOD[:10],
        GOOD[:-1],
        GOOD + b"\x00",
        struct.pack(">IIII", 0xD03, 2, 2, 2) + bytes(32),
        struct.pack(">III", 0x802, 2, 2) + bytes(4),
        struct.pack(">IIII", 0x803, 2**32 - 1, 2**32 - 1, 2**32 - 1) + bytes(8),
        gzip.compress(GOOD, mtime=0)[:-4],
        gzip.compress(GOOD, mtime=0)[:12],
        b"\x1f\x8bnot gzip at all",
        gzip.compress(GOOD, mtime=0)[:14] + b"\xff\xff\xff" + gzip.compress(GOOD, mtime=0)[17:],
        b"<html>not found</html>",
    ],
)
def test_damaged_idx_files_are_refused_by_name(tmp_path, raw):
    path = tmp_path / "damaged-idx3-ubyte"
    path.write_bytes(raw)
    with pytest.raises(InputError) as error:
        read_idx(path, 3)
    assert str(path) in one_line(error)


def test_idx_files_that_do_not_belong_together_are_refused(idx_folder):
    write_idx(idx_folder / "t10k-labels-idx1-ubyte", np.arange(3))
    with pytest.raises(InputError, match="3 labels for the 4 images"):
        om.load_dataset("mnist", split="test")
    (idx_folder / "train-labels-idx1-ubyte.gz").unlink()
    with pytest.raises(InputError, match="there is no train-labels"):
        om.load_dataset("mnist")


def test_digits_split_is_stratified_disjoint_and_whole():
    train, test, every = (om.load_dataset("digits", split=split) for split in ("train", "test", "all"))
    assert train.images.shape[1:] == (1, 8, 8)
    assert sorted([*train.indices, *test.indices]) == list(range(1797))
    assert sorted(every.indices) == list(range(1797))
    shares = np.bincount(test.labels) / np.bincount(every.labels)
    assert np.all(np.abs(shares - 0.2) < 0.01)
    assert every.images.min() == 0
    assert every.images.max() == 1


def test_digits_without_scikit_learn_says_what_to_install(monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(InputError, match="pip install scikit-learn"):
        om.load_dataset("digits")
    with pytest.raises(InputError, match="pip install scikit-learn"):
        om.load_dataset("cifar-10", download=True)


def test_arrays_are_checked_and_counted():
    data = om.load_dataset((np.zeros((4, 5)), [0, 1, 2, 0]))
    assert (data.count, data.classes, data.source) == (4, 3, "arrays, 4 images")
    with pytest.raises(InputError, match="3 arrays"):
        om.load_dataset((np.zeros((4, 5)), [0, 1, 2, 0], 1))  # type: ignore[arg-type]
    with pytest.raises(InputError, match="not one array"):
        om.load_dataset(([[1.0], [1.0, 2.0]], [0, 1]))


@pytest.mark.parametrize("source", ["imagenet", "missing.npz", ".", __file__, 7, ["a", "b"], ""])
def test_an_unknown_source_is_refused_in_one_line(source):
    with pytest.raises(InputError) as error:
        om.load_dataset(source)
    assert str(source) in one_line(error) or type(source).__name__ in one_line(error)


def test_an_unknown_name_lists_the_known_ones():
    with pytest.raises(InputError) as error:
        om.load_dataset("imagenet")
    assert all(name in str(error.value) for name in NAMES)


def test_an_unknown_split_is_refused():
    with pytest.raises(InputError, match="train, test and all"):
        om.load_dataset(split="validation")  # type: ignore[arg-type]


@pytest.mark.parametrize("source", ["fashion-mnist-2000", "digits", (np.zeros((1, 2)), [0]), "a.npz"])
def test_download_is_refused_where_there_is_nothing_to_download(source):
    with pytest.raises(InputError, match="download"):
        om.load_dataset(source, download=True)


def test_the_room_loads_neither_torch_nor_pyomo_nor_scikit_learn():
    import subprocess

    code = "import sys, oamip_model as om; om.load_dataset(); print({'torch', 'pyomo', 'sklearn'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"
