"""Augmentation: exactly the promised values, with the promised frequencies."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fcnn.augment import alternating_flip, cutout, random_crop, random_flip, time_shift

N = 4000
# Counts of N independent draws: 5 standard deviations of a binomial, exceeded once in 2 million.
SIGMAS = 5


def close_to_uniform(counts, choices):
    expected = N / choices
    spread = np.sqrt(N * (1 / choices) * (1 - 1 / choices))
    assert len(counts) == choices
    assert np.abs(counts - expected).max() < SIGMAS * spread


@pytest.mark.parametrize("dtype", [jnp.uint8, jnp.float32, jnp.bfloat16])
def test_crop_is_a_uniform_shift_with_zeros_outside(key, dtype):
    # Every pixel is different and none is 0, so that the shift can be read from the result.
    image = np.arange(1, 21).reshape(4, 5, 1)
    images = jnp.asarray(np.broadcast_to(image, (N, 4, 5, 1)), dtype)
    out = random_crop(key, images, (1, 2))
    assert out.dtype == dtype
    assert out.shape == images.shape

    padded = np.pad(image, ((1, 1), (2, 2), (0, 0)))
    views = {
        padded[top : top + 4, left : left + 5].tobytes(): (top, left)
        for top in range(3)
        for left in range(5)
    }
    shifts = [views[one.tobytes()] for one in np.asarray(out).astype(padded.dtype)]
    close_to_uniform(np.unique(np.array(shifts), axis=0, return_counts=True)[1], 15)


def test_crop_in_one_and_three_dimensions(key):
    for spatial in [(6,), (3, 4, 5)]:
        images = jnp.ones((64, *spatial, 2))
        out = np.asarray(random_crop(key, images, 1))
        inner = (slice(None), *(slice(1, -1) for _ in spatial))
        assert (out[inner] == 1).all()
        assert (out == 0).any()


def test_crop_without_padding_changes_nothing(key):
    images = jnp.arange(24, dtype=jnp.uint8).reshape(2, 3, 4, 1)
    np.testing.assert_array_equal(random_crop(key, images, 0), images)


def test_flip_mirrors_half_of_the_images(key):
    image = np.arange(12, dtype=np.uint8).reshape(2, 3, 2)
    images = jnp.asarray(np.broadcast_to(image, (N, 2, 3, 2)))
    out = np.asarray(random_flip(key, images))
    flipped = (out == image[:, ::-1]).all((1, 2, 3))
    kept = (out == image).all((1, 2, 3))
    assert (flipped ^ kept).all()
    close_to_uniform(np.array([flipped.sum(), kept.sum()]), 2)


@pytest.mark.parametrize("augment", [lambda k, x: random_crop(k, x, 2), random_flip])
def test_same_key_same_images_also_when_jitted(key, augment):
    images = jax.random.uniform(key, (32, 6, 6, 1))
    first = augment(key, images)
    np.testing.assert_array_equal(first, jax.jit(augment)(key, images))
    assert (first != augment(jax.random.fold_in(key, 1), images)).any()


@pytest.mark.parametrize("padding", [-1, (1,), (1, 2, 3), 1.5, (1, -2)])
def test_crop_refuses_a_padding_that_does_not_fit(key, padding):
    with pytest.raises(ValueError, match=r"random_crop expects padding as an int or 2 ints"):
        random_crop(key, jnp.ones((2, 4, 4, 1)), padding)


def test_images_without_a_spatial_dimension_are_refused(key):
    with pytest.raises(ValueError, match=r"random_crop expects images \(N, \*S, C\).*\(2, 4\)"):
        random_crop(key, jnp.ones((2, 4)), 1)
    with pytest.raises(ValueError, match=r"random_flip expects images"):
        random_flip(key, jnp.ones((2, 4)))


def test_alternating_flip_mirrors_each_image_in_every_other_epoch():
    image = np.arange(6, dtype=np.uint8).reshape(1, 3, 2)
    images = jnp.asarray(np.broadcast_to(image, (N, 1, 3, 2)))
    index = jnp.arange(N)
    flipped = []
    for epoch in range(4):
        out = np.asarray(alternating_flip(images, index, epoch))
        assert ((out == image[:, ::-1]).all((1, 2, 3)) ^ (out == image).all((1, 2, 3))).all()
        flipped.append((out == image[:, ::-1]).all((1, 2, 3)))
    np.testing.assert_array_equal(flipped[0], ~flipped[1])
    np.testing.assert_array_equal(flipped[0], flipped[2])
    np.testing.assert_array_equal(flipped[1], flipped[3])
    # A fair hash: half of the images, and neighbours in the data set independent of each other.
    close_to_uniform(np.bincount(flipped[0].astype(int)), 2)
    close_to_uniform(np.bincount(2 * flipped[0] + np.roll(flipped[0], 1)), 4)


def test_alternating_flip_depends_on_index_and_epoch_alone():
    images = jax.random.uniform(jax.random.key(1), (32, 2, 3, 1))
    index = jnp.arange(100, 132)
    whole = alternating_flip(images, index, 3)
    order = jax.random.permutation(jax.random.key(2), 32)
    np.testing.assert_array_equal(alternating_flip(images[order], index[order], 3), whole[order])
    epochs = jnp.where(jnp.arange(32) < 16, 3, 4)
    mixed = jax.jit(alternating_flip)(images, index, epochs)
    np.testing.assert_array_equal(mixed[:16], whole[:16])
    np.testing.assert_array_equal(mixed[16:], whole[16:, :, ::-1])
    with pytest.raises(ValueError, match=r"index as 32 integers.*float32\[32\]"):
        alternating_flip(images, jnp.ones(32), 0)
    with pytest.raises(ValueError, match=r"index as 32 integers.*int32\[31\]"):
        alternating_flip(images, index[1:], 0)


def test_time_shift_is_a_uniform_shift_with_zeros_outside(key):
    series = np.arange(1, 9).reshape(8, 1)
    out = np.asarray(time_shift(key, jnp.asarray(np.broadcast_to(series, (N, 8, 1))), 3))
    padded = np.pad(series, ((3, 3), (0, 0)))
    starts = {padded[start : start + 8].tobytes(): start for start in range(7)}
    close_to_uniform(np.bincount([starts[one.astype(padded.dtype).tobytes()] for one in out]), 7)
    with pytest.raises(ValueError, match=r"time_shift expects series \(N, T, C\)"):
        time_shift(key, jnp.ones((2, 4, 4, 1)), 1)


def test_cutout_of_one_pixel_takes_each_pixel_equally_often(key):
    out = np.asarray(cutout(key, jnp.ones((N, 4, 5, 2)), 1))
    assert ((out == 0).sum((1, 2)) == 1).all()
    np.testing.assert_array_equal(out[..., 0], out[..., 1])
    close_to_uniform((out[..., 0] == 0).sum(0).ravel(), 20)


@pytest.mark.parametrize("size", [2, 3, 4])
def test_cutout_erases_a_square_around_its_centre(key, size):
    out = np.asarray(cutout(key, jnp.ones((N, 6, 7, 1), jnp.uint8), size))
    assert out.dtype == np.uint8
    squares = {}
    for row in range(6):
        for column in range(7):
            image = np.ones((6, 7, 1), np.uint8)
            top, left = row - size // 2, column - size // 2
            image[max(top, 0) : top + size, max(left, 0) : left + size] = 0
            squares[image.tobytes()] = len(squares)
    assert len(squares) == 42
    close_to_uniform(np.bincount([squares[one.tobytes()] for one in out]), 42)


def test_cutout_of_other_sizes_and_dimensions(key):
    images = jax.random.uniform(key, (8, 5, 5, 1)) + 1
    np.testing.assert_array_equal(cutout(key, images, 0), images)
    assert (cutout(key, images, 10) == 0).all()  # from any centre, it covers the image
    stretch = np.asarray(cutout(key, jnp.ones((64, 9, 2)), 3))
    assert set((stretch == 0).sum((1, 2)).tolist()) == {4, 6}  # 2 at an end, 3 elsewhere
    with pytest.raises(ValueError, match="cutout expects size as an int of 0 or more, got -1"):
        cutout(key, images, -1)
