from __future__ import annotations

import gzip
import struct
import sys
from pathlib import Path

import numpy as np
import pytest

import oamip_model as om
from oamip_model.data import idx, read_idx
from oamip_model.data.load import NAMES
from oamip_model.errors import InputError, OamipError

DEBIAN = idx.DEBIAN["fashion-mnist"]
NO_ORIGINAL = "the original Fashion-MNIST (Debian package dataset-fashion-mnist) is not installed"


def write_idx(path: Path, array: np.ndarray) -> Path:
    raw = struct.pack(f">I{array.ndim}I", 0x800 + array.ndim, *array.shape) + array.astype(np.uint8).tobytes()
    path.write_bytes(gzip.compress(raw) if path.suffix == ".gz" else raw)
    return path


@pytest.fixture
def idx_folder(tmp_path, monkeypatch) -> Path:
    """OAMIP_DATA with an 'mnist' of 6 training and 4 test images, gzipped and plain."""
    monkeypatch.setenv("OAMIP_DATA", str(tmp_path))
    folder = tmp_path / "mnist"
    folder.mkdir()
    rng = np.random.default_rng(0)
    for prefix, n, suffix in (("train", 6, ".gz"), ("t10k", 4, "")):
        write_idx(folder / f"{prefix}-images-idx3-ubyte{suffix}", rng.integers(0, 256, (n, 28, 28)))
        write_idx(folder / f"{prefix}-labels-idx1-ubyte{suffix}", rng.integers(0, 10, n))
    return folder


def one_line(error: pytest.ExceptionInfo[BaseException]) -> str:
    text = str(error.value)
    assert text
    assert "\n" not in text
    return text


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
        gzip.compress(GOOD)[:-4],
        gzip.compress(GOOD)[:12],
        b"\x1f\x8bnot gzip at all",
        gzip.compress(GOOD)[:14] + b"\xff\xff\xff" + gzip.compress(GOOD)[17:],
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


class TestOpenML:
    """The real fetch needs a network; a stand-in for scikit-learn's function shows what is made of its answer."""

    @pytest.fixture(autouse=True)
    def nowhere(self, monkeypatch, tmp_path):
        monkeypatch.setattr(idx, "DEBIAN", {})
        monkeypatch.setenv("OAMIP_DATA", str(tmp_path))

    def answer(self, monkeypatch, make):
        import sklearn.datasets

        calls = []

        def fetch(name, **options):
            calls.append((name, options))
            return make()

        monkeypatch.setattr(sklearn.datasets, "fetch_openml", fetch)
        return calls

    def bunch(self, rows, columns, target=None):
        from sklearn.utils import Bunch

        data = np.zeros((rows, columns), dtype=np.uint8)
        data[:, 0] = np.arange(rows) % 256
        labels = np.array([str(i % 10) for i in range(rows)], dtype=object) if target is None else target
        return Bunch(data=data, target=labels)

    def test_the_order_and_the_planes_of_cifar_10_are_kept(self, monkeypatch):
        # A tenth of the size: the real one is 1.5 GB in double precision.
        from oamip_model.data import remote

        small = remote.Published("CIFAR_10", (3, 32, 32), 50, 60)
        monkeypatch.setitem(remote.OPENML, "cifar-10", small)
        bunch = self.bunch(60, 3072)
        bunch.data[:, 1024] = 255
        calls = self.answer(monkeypatch, lambda: bunch)
        train, test = (om.load_dataset("cifar-10", split=split, download=True) for split in ("train", "test"))
        assert (train.count, test.count) == (50, 10)
        assert train.images.shape[1:] == (3, 32, 32)
        assert np.all(train.images[:, 1, 0, 0] == 1)
        assert np.array_equal(np.rint(test.images[:, 0, 0, 0] * 255), np.arange(50, 60))
        assert test.labels.tolist() == list(range(10))
        name, options = calls[0]
        assert (name, options["version"], options["as_frame"]) == ("CIFAR_10", 1, False)
        assert "OpenML" in train.source

    @pytest.mark.parametrize("name", ["mnist", "fashion-mnist", "kmnist", "cifar-10"])
    def test_names_and_sizes(self, monkeypatch, name):
        from oamip_model.data import remote

        real = remote.OPENML[name]
        assert real.total - real.train == 10_000
        cut = remote.Published(real.title, real.shape, 20, 30)
        monkeypatch.setitem(remote.OPENML, name, cut)
        calls = self.answer(monkeypatch, lambda: self.bunch(30, int(np.prod(real.shape))))
        assert om.load_dataset(name, split="all", download=True).count == 30
        assert calls[0][0] == real.title

    def test_nothing_is_fetched_unless_asked(self, monkeypatch):
        calls = self.answer(monkeypatch, lambda: self.bunch(1, 1))
        for name in ("mnist", "cifar-10"):
            with pytest.raises(InputError, match="download=True"):
                om.load_dataset(name)
        assert calls == []

    def test_files_that_are_there_are_not_fetched(self, monkeypatch, idx_folder):
        calls = self.answer(monkeypatch, lambda: self.bunch(1, 1))
        assert om.load_dataset("mnist", download=True).count == 6
        assert calls == []

    @pytest.mark.parametrize(
        ("rows", "target", "words"),
        [
            (29, None, "has shape"),
            (30, np.array(["cat"] * 30), "not numbers"),
            (30, np.full(30, "11"), "label 0 is 11"),
        ],
    )
    def test_an_unexpected_answer_is_an_error(self, monkeypatch, rows, target, words):
        from oamip_model.data import remote

        monkeypatch.setitem(remote.OPENML, "mnist", remote.Published("mnist_784", (1, 28, 28), 20, 30))
        self.answer(monkeypatch, lambda: self.bunch(rows, 784, target))
        with pytest.raises(OamipError, match=words) as error:
            om.load_dataset("mnist", download=True)
        one_line(error)

    def test_a_failed_download_is_one_line(self, monkeypatch):
        from urllib.error import URLError

        def fail():
            raise URLError("no route")

        self.answer(monkeypatch, fail)
        with pytest.raises(OamipError, match="no route") as error:
            om.load_dataset("mnist", download=True)
        one_line(error)


def test_the_room_loads_neither_torch_nor_pyomo_nor_scikit_learn():
    import subprocess

    code = "import sys, oamip_model as om; om.load_dataset(); print({'torch', 'pyomo', 'sklearn'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"
