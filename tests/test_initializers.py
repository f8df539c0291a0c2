"""Initial values follow the distributions they name."""

import pickle

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fcnn import initializers

SHAPES = {
    "dense": (200, 300),
    "conv1d": (5, 40, 50),
    "conv2d": (3, 3, 32, 64),
    "conv3d": (3, 3, 3, 16, 32),
    "depthwise": (7, 7, 1, 512),
}


def fans(shape):
    """Sums an output adds up, and sums an input takes part in; the channels are C/groups."""
    taps = np.prod(shape[:-2], dtype=int)
    return taps * shape[-2], taps * shape[-1]


VARIANCES = {
    "he": lambda fan_in, fan_out: 2 / fan_in,
    "glorot": lambda fan_in, fan_out: 2 / (fan_in + fan_out),
    "lecun": lambda fan_in, fan_out: 1 / fan_in,
}


def check_moments(sample, variance, kurtosis):
    """Mean and variance within five standard errors of what the distribution says.

    The sample mean has variance v/n, the sample variance has variance (kurtosis - 1) * v^2 / n;
    five of their roots is missed once in two million draws, and the key is fixed.
    """
    sample = np.asarray(sample, np.float64).ravel()
    assert abs(sample.mean()) < 5 * np.sqrt(variance / sample.size)
    error = 5 * np.sqrt((kurtosis - 1) / sample.size)
    assert abs(np.mean(sample**2) / variance - 1) < error


# E[z^4] / E[z^2]^2. Uniform: (1/5) / (1/3)^2. Normal cut at two deviations, where
# r = 2 * 2 * pdf(2) / (2 * cdf(2) - 1) = 0.22626: E[z^2] = 1 - r, E[z^4] = 3 - 7 * r.
UNIFORM_KURTOSIS = 9 / 5
CUT_NORMAL_KURTOSIS = (3 - 7 * 0.22626) / (1 - 0.22626) ** 2


@pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES)
@pytest.mark.parametrize("family", VARIANCES)
def test_normal_kernels(family, shape, key):
    variance = VARIANCES[family](*fans(shape))
    kernel = getattr(initializers, f"{family}_normal")(key, shape)
    check_moments(kernel, variance, CUT_NORMAL_KURTOSIS)
    # The cut is at two deviations of the uncut normal, 2 / 0.8796 of the values' own.
    assert abs(kernel).max() <= 2 / 0.87962 * np.sqrt(variance) * (1 + 1e-5)


@pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES)
@pytest.mark.parametrize("family", VARIANCES)
def test_uniform_kernels(family, shape, key):
    variance = VARIANCES[family](*fans(shape))
    kernel = getattr(initializers, f"{family}_uniform")(key, shape)
    check_moments(kernel, variance, UNIFORM_KURTOSIS)
    largest = float(abs(kernel).max())
    # All values within sqrt(3 v); among n values the largest is within about 1/n of it.
    assert np.sqrt(3 * variance) * (1 - 20 / kernel.size) < largest
    assert largest <= np.sqrt(3 * variance) * (1 + 1e-6)


def test_truncated_normal_02_has_its_deviation_whatever_the_fan(key):
    for shape in ((4, 4, 3, 96), (768, 100)):
        kernel = initializers.truncated_normal_02(key, shape)
        check_moments(kernel, 0.02**2, CUT_NORMAL_KURTOSIS)


def test_constants():
    key = jax.random.key(0)
    np.testing.assert_array_equal(initializers.zeros(key, (2, 3)), np.zeros((2, 3)))
    np.testing.assert_array_equal(initializers.ones(key, (2, 3)), np.ones((2, 3)))


KERNELS = [f"{family}_{kind}" for family in VARIANCES for kind in ("normal", "uniform")]
KERNELS.append("truncated_normal_02")


@pytest.mark.parametrize("name", KERNELS)
def test_the_key_alone_decides(name):
    init, shape = getattr(initializers, name), (3, 3, 2, 4)
    first, again = init(jax.random.key(1), shape), init(jax.random.key(1), shape)
    other = init(jax.random.key(2), shape)
    np.testing.assert_array_equal(first, again)
    assert (first != other).mean() > 0.9
    # Compiled as one program, the scale may be multiplied in another order: a last place or two.
    compiled = jax.jit(init, static_argnums=1)(jax.random.key(1), shape)
    np.testing.assert_allclose(compiled, first, rtol=3e-7)


@pytest.mark.parametrize("name", [*KERNELS, "zeros", "ones"])
def test_dtype_shape_and_pickling(name):
    init, key = getattr(initializers, name), jax.random.key(0)
    assert init(key, (3, 2, 4)).dtype == jnp.float32
    assert init(key, (3, 2, 4)).shape == (3, 2, 4)
    half = init(key, (3, 2, 4), jnp.bfloat16)
    assert half.dtype == jnp.bfloat16
    # A layer holds its initializer, so it must survive a pickle as the very same function.
    assert pickle.loads(pickle.dumps(init)) is init


def test_a_kernel_needs_two_axes(key):
    with pytest.raises(ValueError, match="1-dimensional weights tensor"):
        initializers.he_normal(key, (5,))
