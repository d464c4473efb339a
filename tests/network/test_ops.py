"""Every map against torch.nn.functional, and against its own matrix."""

import numpy as np
import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from torch.nn import functional

from oamip_model.network.maps import (
    AveragePool,
    ChannelScale,
    Conv2d,
    Dense,
    Identity,
    LinearMap,
    MaxPool,
    Shape,
    conv2d,
)
from oamip_model.network.maps.windows import adaptive_averaging, averaging, same_padding, window_count

small = settings(deadline=None, derandomize=True, max_examples=60)
pair = st.tuples(st.integers(1, 3), st.integers(1, 3))


def agrees_with_its_matrix(map: LinearMap, shape: Shape, seed: int) -> None:
    x = np.random.default_rng(seed).normal(size=(3, *shape))
    y = map.apply(x)
    assert y.shape == (3, *map.output_shape(shape))
    np.testing.assert_allclose((map.matrix(shape) @ x.reshape(3, -1).T).T, y.reshape(3, -1), atol=1e-12)
    assert abs(map.magnitude().matrix(shape) - abs(map.matrix(shape))).max() == 0.0


@st.composite
def convolutions(draw: st.DrawFn) -> tuple[Conv2d, Shape]:
    groups, inputs, outputs = (draw(st.integers(1, 3)) for _ in range(3))
    kernel = draw(pair)
    weight = np.random.default_rng(draw(st.integers(0, 99))).normal(size=(outputs * groups, inputs, *kernel))
    padding = draw(st.tuples(*[st.integers(0, 2)] * 4))
    map = Conv2d(weight, draw(pair), padding, draw(pair), groups)
    shape = (inputs * groups, draw(st.integers(1, 7)), draw(st.integers(1, 7)))
    assume(min(map.output_shape(shape)) > 0)
    return map, shape


@small
@given(convolutions(), st.integers(0, 99))
def test_convolution_is_torchs(case: tuple[Conv2d, Shape], seed: int) -> None:
    map, shape = case
    agrees_with_its_matrix(map, shape, seed)
    x = torch.from_numpy(np.random.default_rng(seed).normal(size=(2, *shape)))
    top, left, bottom, right = map.padding
    padded = functional.pad(x, (left, right, top, bottom))
    wanted = functional.conv2d(padded, torch.from_numpy(map.weight), None, map.stride, 0, map.dilation, map.groups)
    np.testing.assert_allclose(map.apply(x.numpy()), wanted.numpy(), atol=1e-12)


@small
@given(convolutions(), st.integers(1, 99))
def test_convolutions_in_parts_are_the_same(case: tuple[Conv2d, Shape], most: int) -> None:
    map, shape = case
    x = np.random.default_rng(most).normal(size=(4, *shape))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(conv2d, "_WINDOWS", most)
        parts = map.apply(x)
    np.testing.assert_allclose(parts, map.apply(x), atol=1e-12)


@small
@given(st.integers(1, 5), st.integers(1, 3), st.integers(1, 6), st.integers(1, 6), st.integers(0, 99))
def test_dense_scale_and_identity_have_their_matrices(out: int, channels: int, high: int, wide: int, seed: int) -> None:
    random = np.random.default_rng(seed)
    agrees_with_its_matrix(Dense(random.normal(size=(out, channels))), (channels,), seed)
    agrees_with_its_matrix(ChannelScale(random.normal(size=channels)), (channels, high, wide), seed)
    agrees_with_its_matrix(ChannelScale(random.normal(size=channels)), (channels,), seed)
    agrees_with_its_matrix(Identity(), (channels, high, wide), seed)


@st.composite
def windows(draw: st.DrawFn) -> tuple[Shape, tuple[int, int], tuple[int, int], tuple[int, int], bool]:
    kernel, stride = draw(pair), draw(pair)
    padding = tuple(draw(st.integers(0, k // 2)) for k in kernel)
    shape = (draw(st.integers(1, 2)), draw(st.integers(1, 8)), draw(st.integers(1, 8)))
    assume(all(n + 2 * p >= k for n, p, k in zip(shape[1:], padding, kernel, strict=True)))
    return shape, kernel, stride, (padding[0], padding[1]), draw(st.booleans())


@small
@given(windows(), st.booleans(), st.integers(0, 99))
def test_average_pooling_is_torchs(case, counted: bool, seed: int) -> None:
    shape, kernel, stride, padding, ceil = case
    x = torch.from_numpy(np.random.default_rng(seed).normal(size=(2, *shape)))
    wanted = functional.avg_pool2d(x, kernel, stride, padding, ceil, counted)
    rows, columns = (
        averaging(shape[1 + i], kernel[i], stride[i], (padding[i], padding[i]), ceil, counted) for i in range(2)
    )
    map = AveragePool(rows, columns)
    agrees_with_its_matrix(map, shape, seed)
    np.testing.assert_allclose(map.apply(x.numpy()), wanted.numpy(), atol=1e-12)


@small
@given(st.integers(1, 9), st.integers(1, 9), st.integers(1, 9))
def test_adaptive_average_pooling_is_torchs(high: int, wide: int, out: int) -> None:
    x = torch.from_numpy(np.random.default_rng(high * wide).normal(size=(2, 2, high, wide)))
    map = AveragePool(adaptive_averaging(high, out), adaptive_averaging(wide, 2))
    np.testing.assert_allclose(map.apply(x.numpy()), functional.adaptive_avg_pool2d(x, (out, 2)).numpy(), atol=1e-12)


@small
@given(windows(), pair, st.integers(0, 99))
def test_max_pooling_is_torchs(case, dilation: tuple[int, int], seed: int) -> None:
    shape, kernel, stride, padding, ceil = case
    reach = [d * (k - 1) + 1 for d, k in zip(dilation, kernel, strict=True)]
    assume(all(n + 2 * p >= r for n, p, r in zip(shape[1:], padding, reach, strict=True)))
    x = torch.from_numpy(np.random.default_rng(seed).normal(size=(2, *shape)))
    wanted = functional.max_pool2d(x, kernel, stride, padding, dilation, ceil)
    output = [
        window_count(shape[1 + i], kernel[i], stride[i], (padding[i], padding[i]), dilation[i], ceil) for i in range(2)
    ]
    pool = MaxPool(kernel, stride, padding + padding, dilation, (output[0], output[1]))
    np.testing.assert_array_equal(pool.apply(x.numpy()), wanted.numpy())
    flat = np.concatenate([x.numpy().reshape(2, -1), np.full((2, 1), -np.inf)], axis=1)
    np.testing.assert_array_equal(flat[:, pool.windows(shape)].max(axis=2).reshape(wanted.shape), wanted.numpy())


@pytest.mark.parametrize(("kernel", "dilation"), [(1, 1), (2, 1), (3, 2), (4, 1), (2, 3)])
def test_same_padding_is_torchs(kernel: int, dilation: int) -> None:
    weight = torch.randn(1, 1, kernel, kernel, dtype=torch.float64)
    x = torch.randn(1, 1, 7, 7, dtype=torch.float64)
    before, after = same_padding(kernel, dilation)
    map = Conv2d(weight.numpy(), padding=(before, before, after, after), dilation=(dilation, dilation))
    wanted = functional.conv2d(x, weight, padding="same", dilation=dilation)
    np.testing.assert_allclose(map.apply(x.numpy()), wanted.numpy(), atol=1e-12)
