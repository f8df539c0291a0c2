import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.test_util import check_grads

from fcnn.training import cross_entropy

LOGITS = np.array([[2.0, -1.0, 0.5], [0.0, 3.0, -2.0], [1.0, 1.0, 1.0]])
LABELS = np.array([0, 2, 1])
SOFT = np.array([[0.7, 0.2, 0.1], [0.0, 0.5, 0.5], [1.0, 0.0, 0.0]])
CLOSE = 1e-6  # a few float32 roundings of numbers near 1


def formula(logits, targets):
    """-sum_k q_k log softmax(z)_k, in float64."""
    log_softmax = logits - np.log(np.exp(logits).sum(axis=1, keepdims=True))
    return -(targets * log_softmax).sum(axis=1)


@pytest.mark.parametrize("smoothing", [0.0, 0.1, 1.0])
@pytest.mark.parametrize("kind", ["integer", "uint8", "probabilities"])
def test_cross_entropy_is_its_formula(kind, smoothing):
    labels, targets = {
        "integer": (jnp.asarray(LABELS), np.eye(3)[LABELS]),
        "uint8": (jnp.asarray(LABELS, jnp.uint8), np.eye(3)[LABELS]),
        "probabilities": (jnp.asarray(SOFT, jnp.float32), SOFT),
    }[kind]
    expected = formula(LOGITS, (1 - smoothing) * targets + smoothing / 3)
    got = cross_entropy(jnp.asarray(LOGITS, jnp.float32), labels, label_smoothing=smoothing)
    assert got.dtype == jnp.float32
    np.testing.assert_allclose(got, expected, rtol=CLOSE, atol=CLOSE)


def test_bfloat16_logits_are_summed_in_float32():
    # 1000 equal logits: log 1000 = 6.9078; bfloat16 arithmetic could only say 6.90625.
    got = cross_entropy(jnp.zeros((1, 1000), jnp.bfloat16), jnp.array([3]))
    assert got.dtype == jnp.float32
    np.testing.assert_allclose(got, np.log(1000), rtol=CLOSE)


def test_huge_logits_stay_finite():
    got = cross_entropy(jnp.array([[1e30, 0.0], [0.0, -1e4]]), jnp.array([0, 1]))
    np.testing.assert_array_equal(got, np.array([0.0, 1e4], np.float32))


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
@pytest.mark.parametrize("label", [-1, 3])
def test_a_label_out_of_range_gives_nan(label, smoothing):
    got = cross_entropy(jnp.zeros((2, 3)), jnp.array([label, 2]), label_smoothing=smoothing)
    np.testing.assert_array_equal(np.isnan(got), [True, False])


def test_gradient():
    labels = jnp.asarray(LABELS)
    logits = jnp.asarray(LOGITS, jnp.float32)
    # The gradient of the sum is softmax - target.
    softmax = np.exp(LOGITS) / np.exp(LOGITS).sum(axis=1, keepdims=True)
    gradient = jax.grad(lambda z: cross_entropy(z, labels).sum())(logits)
    np.testing.assert_allclose(gradient, softmax - np.eye(3)[LABELS], atol=CLOSE)
    with jax.enable_x64(True):
        smooth = jnp.asarray(SOFT)
        check_grads(lambda z: cross_entropy(z, smooth, label_smoothing=0.1), (LOGITS,), order=2)
        chex.assert_type(cross_entropy(jnp.asarray(LOGITS), smooth), jnp.float64)


@pytest.mark.parametrize(
    ("logits", "labels", "smoothing", "error", "text"),
    [
        ((4, 3), jnp.zeros((5,), int), 0.0, ValueError, r"labels \(4,\) .* got shape \(5,\)"),
        ((4, 3), jnp.zeros((4, 1)), 0.0, ValueError, r"or \(4, 3\) .* got shape \(4, 1\)"),
        ((4,), jnp.zeros((4,), int), 0.0, ValueError, r"logits \(N, K\), got shape \(4,\)"),
        ((4, 3), jnp.zeros((4,)), 0.0, TypeError, r"must be integers, got float32"),
        ((4, 3), jnp.zeros((4,), int), -0.1, ValueError, r"label_smoothing must be in \[0, 1\]"),
        ((4, 3), jnp.zeros((4,), int), float("nan"), ValueError, r"in \[0, 1\], got nan"),
    ],
)
def test_errors(logits, labels, smoothing, error, text):
    with pytest.raises(error, match=text):
        cross_entropy(jnp.zeros(logits), labels, label_smoothing=smoothing)
