"""Augmentation that computes new values: resized crops, colours, noise, mixtures of two images."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fcnn.augment import add_noise, color_jitter, cutmix, mixup, random_resized_crop
from fcnn.augment.resized_crop import random_box

N = 4000
# Means of N independent draws: 5 standard deviations, exceeded once in 2 million.
SIGMAS = 5


def close_to_mean(values, mean, variance):
    assert abs(np.mean(values) - mean) < SIGMAS * math.sqrt(variance / len(values))


def distributed(values, cumulative):
    """Kolmogorov-Smirnov: the largest distance of the two distributions is above 3.2 / sqrt(n)
    once in 2 * exp(-2 * 3.2^2) = 3 * 10^-9."""
    values = np.sort(np.asarray(values, np.float64).ravel())
    steps = np.arange(len(values) + 1) / len(values)
    expected = np.array([cumulative(value) for value in values])
    distance = max(np.abs(expected - steps[:-1]).max(), np.abs(expected - steps[1:]).max())
    assert distance < 3.2 / math.sqrt(len(values))


def uniform(values, low, high):
    values = np.asarray(values)
    slack = 1e-5 * (high - low)  # float32
    assert low - slack <= values.min()
    assert values.max() <= high + slack
    distributed(values, lambda value: (value - low) / (high - low))


def test_boxes_are_uniform_in_area_logarithm_of_ratio_and_place(key):
    # Each draw fits, so none is rejected; on 4000 pixels, rounding to whole ones does not show.
    keys = jax.random.split(key, N)
    boxes = jax.vmap(lambda k: random_box(k, 4000, 4000, (0.1, 0.5), (0.75, 4 / 3)))(keys)
    top, left, rows, columns = np.asarray(boxes, np.float64).T
    uniform(rows * columns / 4000**2, 0.1 - 1e-4, 0.5 + 1e-4)
    uniform(np.log(columns / rows), math.log(0.75) - 1e-3, math.log(4 / 3) + 1e-3)
    uniform(top / (4000 - rows), 0, 1)
    uniform(left / (4000 - columns), 0, 1)
    assert ((top >= 0) & (top + rows <= 4000) & (left >= 0) & (left + columns <= 4000)).all()


def test_a_box_that_does_not_fit_is_drawn_again(key):
    keys = jax.random.split(key, N)
    boxes = jax.vmap(lambda k: random_box(k, 32, 32, (0.08, 1.0), (0.75, 4 / 3)))(keys)
    top, left, rows, columns = np.asarray(boxes).T
    assert ((rows >= 1) & (top >= 0) & (top + rows <= 32)).all()
    assert ((columns >= 1) & (left >= 0) & (left + columns <= 32)).all()
    # 14% of first draws do not fit: were they replaced by the whole image, there would be 560.
    assert ((rows == 32) & (columns == 32)).sum() < 0.05 * N


@pytest.mark.parametrize(
    ("height", "width", "ratio", "expected"),
    [
        (30, 30, (3.0, 4.0), [10, 0, 10, 30]),
        (30, 30, (0.25, 0.5), [0, 7, 30, 15]),
        (20, 90, (1.0, 1.5), [0, 30, 20, 30]),
    ],
)
def test_where_nothing_fits_it_is_the_largest_centred_box(key, height, width, ratio, expected):
    np.testing.assert_array_equal(random_box(key, height, width, (1.0, 1.0), ratio), expected)


def test_a_crop_of_the_whole_image_to_its_size_changes_nothing(key):
    options = {"area": (1.0, 1.0), "ratio": (1.0, 1.0)}
    images = jax.random.randint(key, (3, 9, 9, 2), 0, 256).astype(jnp.uint8)
    np.testing.assert_array_equal(random_resized_crop(key, images, 9, **options), images)
    floats = images.astype(jnp.float32)
    # One rounding of the filter's weights: 255 * 2^-23, and a sum of them.
    np.testing.assert_allclose(
        random_resized_crop(key, floats, 9, **options), floats, atol=255 * 2**-21
    )


@pytest.mark.parametrize("dtype", [jnp.float32, jnp.bfloat16, jnp.uint8])
def test_a_resized_crop_interpolates_linearly(key, dtype):
    """Of two ramps, x and y, every value is known: linear interpolation keeps a ramp."""
    height, width, size = 12, 16, (40, 44)
    rows, columns = np.mgrid[:height, :width].astype(np.float32)
    image = 15 * np.stack([rows, columns], -1)
    images = jnp.asarray(np.broadcast_to(image, (6, height, width, 2)), dtype)
    out = random_resized_crop(key, images, size)
    assert out.dtype == dtype
    assert out.shape == (6, *size, 2)
    # All boxes are smaller than `size`: the filter is the plain one of upsampling.
    tolerance = {jnp.float32: 1e-3, jnp.bfloat16: 255 * 2**-8, jnp.uint8: 0.501}[dtype]
    for one, k in zip(np.asarray(out, np.float32), jax.random.split(key, 6), strict=True):
        top, left, high, wide = np.asarray(random_box(k, height, width, (0.08, 1.0), (0.75, 4 / 3)))
        y = top + (np.arange(size[0]) + 0.5) * high / size[0] - 0.5
        x = left + (np.arange(size[1]) + 0.5) * wide / size[1] - 0.5
        y, x = np.clip(y, 0, height - 1), np.clip(x, 0, width - 1)
        expected = 15 * np.stack(np.broadcast_arrays(y[:, None], x[None, :]), -1)
        np.testing.assert_allclose(one, expected, atol=tolerance)


def test_resized_crop_refuses_what_it_cannot_do(key):
    images = jnp.ones((2, 8, 8, 1))
    for options, expected in [
        ({"size": 0}, "size of 1 or more, got 0"),
        ({"size": 8, "area": (0.0, 1.0)}, r"area within \(0, 1\], got \(0.0, 1.0\)"),
        ({"size": 8, "ratio": (2.0, 1.0)}, r"ratio as \(low, high\) > 0, got \(2.0, 1.0\)"),
    ]:
        with pytest.raises(ValueError, match=expected):
            random_resized_crop(key, images, **options)
    with pytest.raises(ValueError, match=r"expects images \(N, H, W, C\)"):
        random_resized_crop(key, images[0], 8)


def test_brightness_is_a_uniform_factor(key):
    out = color_jitter(key, jnp.full((N, 1, 1, 3), 0.25), brightness=0.8, contrast=0, saturation=0)
    np.testing.assert_array_equal(out[..., 0], out[..., 1])
    uniform(out[:, 0, 0, 0] / 0.25, 0.2, 1.8)


def test_contrast_scales_around_the_mean_grey_of_the_image(key):
    two = jnp.broadcast_to(jnp.array([0.45, 0.55])[None, None, :, None], (N, 1, 2, 3))
    out = np.asarray(color_jitter(key, two, brightness=0, contrast=0.5, saturation=0))
    # The luma weights sum to 1 and the mean stays, to a few roundings of float32.
    np.testing.assert_allclose(out.mean((1, 2, 3)), 0.5, atol=1e-6)
    uniform((out[:, 0, 1, 0] - out[:, 0, 0, 0]) / 0.1, 0.5 - 1e-5, 1.5 + 1e-5)


def test_saturation_scales_around_each_pixels_grey(key):
    colour = np.array([0.5, 0.4, 0.6], np.float32)
    images = jnp.broadcast_to(jnp.asarray(colour)[None, None, None, :], (N, 1, 1, 3))
    out = np.asarray(color_jitter(key, images, brightness=0, contrast=0, saturation=2.0))[:, 0, 0]
    grey = colour @ np.array([0.299, 0.587, 0.114])
    # Strength 2 would reach below 0: factors are uniform in [0, 3].
    factors = (out - grey) / (colour - grey)
    np.testing.assert_allclose(factors, np.broadcast_to(factors[:, :1], (N, 3)), atol=3e-4)
    uniform(factors[:, 1], -1e-4, 3 + 1e-4)


def test_colours_stay_in_range_keep_their_dtype_and_repeat_when_jitted(key):
    images = jax.random.uniform(key, (16, 4, 4, 3), jnp.bfloat16)
    out = color_jitter(key, images, brightness=3.0, contrast=3.0, saturation=3.0)
    assert out.dtype == jnp.bfloat16
    assert 0 <= float(out.min()) <= float(out.max()) <= 1
    floats = images.astype(jnp.float32)
    # XLA fuses multiplications and additions when it compiles: a rounding or two of values below 1.
    np.testing.assert_allclose(
        jax.jit(color_jitter)(key, floats), color_jitter(key, floats), atol=1e-6
    )
    for bad in (jnp.ones((2, 4, 4, 1)), jnp.ones((2, 4, 4, 3), jnp.uint8)):
        with pytest.raises(ValueError, match=r"RGB images \(N, H, W, 3\) of floats"):
            color_jitter(key, bad)
    with pytest.raises(ValueError, match="contrast of 0 or more, got -1"):
        color_jitter(key, floats, contrast=-1)


def test_noise_is_normal_and_independent(key):
    series = jnp.zeros((N, 3, 2), jnp.int16)
    noise = np.asarray(add_noise(key, series, 5.0))
    assert noise.dtype == np.float32
    distributed(noise, lambda value: 0.5 * (1 + math.erf(value / 5 / math.sqrt(2))))
    # The mean of products of independent standard normals: variance 1.
    close_to_mean(noise[:, 0] * noise[:, 1] / 25, 0, 1)
    close_to_mean(noise[1:, 0] * noise[:-1, 0] / 25, 0, 1)
    images = jax.random.uniform(key, (4, 3, 3, 1), jnp.bfloat16)
    np.testing.assert_array_equal(add_noise(key, images, 0.0), images)
    assert add_noise(key, images, 1.0).dtype == jnp.bfloat16
    with pytest.raises(ValueError, match="std of 0 or more, got nan"):
        add_noise(key, images, float("nan"))


def basis(count):
    """Images that tell themselves apart in any mixture: number i has a one in pixel i."""
    return jnp.eye(count).reshape(count, count, 1), jnp.arange(count)


@pytest.mark.parametrize("alpha", [0.2, 1.0])
def test_mixup_mixes_images_and_labels_by_the_same_beta_weight(key, alpha):
    count = 1000
    images, labels = mixup(key, *basis(count), count, alpha)
    np.testing.assert_array_equal(images[..., 0], labels)
    labels = np.asarray(labels)
    # Two roundings, of the weight and of 1 - weight.
    np.testing.assert_allclose(labels.sum(1), 1, atol=2**-23)
    weight = np.diag(labels).copy()
    others = labels.copy()
    np.fill_diagonal(others, 0)
    partner = np.where(weight < 1, others.argmax(1), np.arange(count))
    mixed = (others > 0).sum(1)
    assert mixed.max() == 1
    paired = mixed == 1
    assert len(set(partner[paired].tolist())) == paired.sum()  # each other image used once
    # Beta(alpha, alpha): mean 1/2, variance 1 / (4 (2 alpha + 1)); it is symmetric and bounded, so
    # (w - 1/2)^2 is at most 1/4 and its variance at most 1/64.
    variance = 1 / (4 * (2 * alpha + 1))
    close_to_mean(weight[paired], 0.5, variance)
    close_to_mean((weight[paired] - 0.5) ** 2, variance, 1 / 64)
    if alpha == 1.0:
        uniform(weight[paired], 0, 1)


def test_mixup_of_bytes_and_of_soft_labels(key):
    images = jax.random.randint(key, (16, 4, 4, 3), 0, 256).astype(jnp.uint8)
    soft = jax.nn.softmax(jax.random.normal(key, (16, 5)))
    mixed, labels = mixup(key, images, soft, 5)
    assert mixed.dtype == labels.dtype == jnp.float32
    np.testing.assert_allclose(labels.sum(1), 1, atol=1e-6)
    again, _ = mixup(key, images.astype(jnp.float32), soft, 5)
    np.testing.assert_array_equal(mixed, again)
    half, _ = mixup(key, images.astype(jnp.bfloat16), soft, 5)
    assert half.dtype == jnp.bfloat16
    for mix in (mixup, cutmix):
        with pytest.raises(ValueError, match=rf"{mix.__name__} expects a positive, finite alpha"):
            mix(key, images, soft, 5, 0.0)
        with pytest.raises(ValueError, match=rf"{mix.__name__} expects labels .*float32\[16, 5\]"):
            mix(key, images, soft, 6)


def test_cutmix_labels_are_the_exact_shares_of_pixels(key):
    """Images of one value each: what came from where can be counted."""
    height, width = 8, 12
    images = jnp.broadcast_to(jnp.arange(N)[:, None, None, None], (N, height, width, 1))
    classes = jnp.arange(N) % 7
    mixed, labels = cutmix(key, images, classes, 7)
    assert mixed.dtype == images.dtype
    mixed, labels = np.asarray(mixed)[..., 0], np.asarray(labels)
    shares = np.zeros((N, 7))
    areas = np.zeros(N)
    partners = []
    for i, image in enumerate(mixed):
        other = image != i
        areas[i] = other.mean()
        shares[i, i % 7] += 1 - other.mean()
        if other.any():
            rows, columns = np.nonzero(other)
            box = image[rows.min() : rows.max() + 1, columns.min() : columns.max() + 1]
            assert (box == box[0, 0]).all()  # one rectangle, all of one image
            partners.append(int(box[0, 0]))
            shares[i, box[0, 0] % 7] += other.mean()
    assert len(set(partners)) == len(partners)
    np.testing.assert_allclose(labels, shares, atol=2**-22)  # roundings of shares of 96 pixels

    # The mean area by hand: the sides are floor(sqrt(u) * size) of the same uniform u, the centre
    # is any pixel, and what is outside does not count.
    u = (np.arange(100_000) + 0.5) / 100_000
    share = 1.0
    for size in (height, width):
        seen = np.zeros(size + 1)
        for extent in range(size + 1):
            low = np.arange(size) - extent // 2
            seen[extent] = (np.minimum(low + extent, size) - np.maximum(low, 0)).mean() / size
        share = share * seen[np.floor(np.sqrt(u) * size).astype(int)]
    # An area is between 0 and 1: its variance is at most 1/4.
    close_to_mean(areas, share.mean(), 1 / 4)
    assert areas.std() > 0.1


def test_cutmix_of_series_and_when_jitted(key):
    series = jax.random.normal(key, (16, 50, 2))
    labels = jnp.arange(16) % 3
    mixed, soft = cutmix(key, series, labels, 3)
    fraction = np.asarray((mixed != series).all(2).mean(1))
    kept = np.asarray(soft)[np.arange(16), np.asarray(labels)]
    assert (kept >= 1 - fraction - 1e-6).all()  # more where the other has the same label
    assert fraction.max() > 0
    compiled, compiled_soft = jax.jit(cutmix, static_argnums=3)(key, series, labels, 3)
    np.testing.assert_array_equal(compiled, mixed)
    np.testing.assert_allclose(compiled_soft, soft, atol=2**-22)
