"""Data sets that scikit-learn fetches from OpenML."""

from __future__ import annotations

import numpy as np
import pytest
from one_line import one_line

import oamip_model as om
from oamip_model.data import idx
from oamip_model.errors import InputError, OamipError


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
