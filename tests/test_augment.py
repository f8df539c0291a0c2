"""Augmentation: exactly the promised values, with the promised frequencies."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fcnn.augment import random_crop, random_flip

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
