"""Values and gradients beside PyTorch's, where it is installed (`make parity`)."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from arrays import normals

from fcnn import BatchNorm, GroupNorm, LayerNorm, ops

torch = pytest.importorskip("torch")
F = torch.nn.functional

# Two libraries add up to a few hundred float32 products of order one in different orders.
CLOSE = {"rtol": 1e-4, "atol": 1e-4}
LENGTHS = {1: (11,), 2: (9, 8), 3: (6, 5, 7)}


def to_torch(x):
    """Channels last to channels first."""
    return torch.tensor(np.moveaxis(np.asarray(x), -1, 1).copy(), requires_grad=True)


def from_torch(x):
    return np.moveaxis(x.detach().numpy(), 1, -1)


def compare(ours, theirs, x, weights):
    """Output, and gradient with respect to x and the weights, of sin summed over the output.

    weights: pairs (ours, theirs, axes that bring theirs into our order).
    """
    leaves = [w for w, _, _ in weights]
    y = ours(x, *leaves)
    tx = to_torch(x)
    ty = theirs(tx)
    np.testing.assert_allclose(y, from_torch(ty), **CLOSE)
    torch.sin(ty).sum().backward()
    argnums = tuple(range(len(leaves) + 1))
    grads = jax.grad(lambda *a: jnp.sin(ours(*a)).sum(), argnums)(x, *leaves)
    np.testing.assert_allclose(grads[0], from_torch(tx.grad), **CLOSE)
    for grad, (_, tensor, axes) in zip(grads[1:], weights, strict=True):
        np.testing.assert_allclose(grad, tensor.grad.numpy().transpose(axes), **CLOSE)


@pytest.mark.parametrize("ndim", [1, 2, 3])
@pytest.mark.parametrize(
    ("k", "stride", "padding", "dilation", "groups"),
    [
        (3, 1, 1, 1, 1),
        (3, 2, 1, 1, 1),
        (1, 2, 0, 1, 1),
        (2, 2, 0, 1, 1),
        (4, 3, 2, 1, 1),
        (3, 1, 2, 2, 1),
        (3, 2, 2, 2, 2),
        (3, 1, 1, 1, 4),
    ],
)
def test_conv(ndim, k, stride, padding, dilation, groups):
    x, kernel, bias = normals(0, (2, *LENGTHS[ndim], 4), (*(k,) * ndim, 4 // groups, 8), (8,))
    weight = torch.tensor(np.moveaxis(kernel, (-1, -2), (0, 1)).copy(), requires_grad=True)
    shift = torch.tensor(bias, requires_grad=True)
    options = {"stride": stride, "padding": padding, "dilation": dilation, "groups": groups}
    compare(
        lambda x, kernel, bias: ops.conv(x, kernel, bias, **options),
        lambda x: getattr(F, f"conv{ndim}d")(x, weight, shift, **options),
        x,
        [(kernel, weight, (*range(2, ndim + 2), 1, 0)), (bias, shift, (0,))],
    )


@pytest.mark.parametrize("ndim", [1, 2, 3])
@pytest.mark.parametrize(
    ("k", "stride", "padding", "output_padding", "dilation", "groups"),
    [
        (3, 1, 0, 0, 1, 1),
        (3, 2, 1, 1, 1, 1),
        (4, 2, 1, 0, 1, 1),
        (2, 3, 0, 2, 1, 1),
        (3, 2, 2, 1, 2, 1),
        (3, 2, 1, 0, 1, 2),
    ],
)
def test_conv_transpose(ndim, k, stride, padding, output_padding, dilation, groups):
    lengths = tuple(n - 2 for n in LENGTHS[ndim])
    x, kernel = normals(1, (2, *lengths, 4), (*(k,) * ndim, 4 // groups, 6))
    # PyTorch's weight is (C, F/groups, *K): our F axis is groups × F/groups.
    split = kernel.reshape(*(k,) * ndim, 4 // groups, groups, 6 // groups)
    axes = (ndim + 1, ndim, ndim + 2, *range(ndim))
    weight = torch.tensor(split.transpose(axes).reshape(4, 6 // groups, *(k,) * ndim).copy())
    options = {
        "stride": stride, "padding": padding, "output_padding": output_padding,
        "dilation": dilation, "groups": groups,
    }  # fmt: skip
    compare(
        lambda x: ops.conv_transpose(x, kernel, **options),
        lambda x: getattr(F, f"conv_transpose{ndim}d")(x, weight, **options),
        x,
        [],
    )


@pytest.mark.parametrize("ndim", [1, 2, 3])
@pytest.mark.parametrize(
    ("k", "stride", "padding", "dilation"), [(2, 2, 0, 1), (3, 2, 1, 1), (3, 1, 1, 1), (2, 1, 1, 2)]
)
def test_max_pool(ndim, k, stride, padding, dilation):
    (x,) = normals(2, (2, *LENGTHS[ndim], 3))
    options = {"stride": stride, "padding": padding, "dilation": dilation}
    compare(
        lambda x: ops.max_pool(x, k, **options),
        lambda x: getattr(F, f"max_pool{ndim}d")(x, k, **options),
        x,
        [],
    )


@pytest.mark.parametrize("ndim", [1, 2, 3])
@pytest.mark.parametrize("count_padding", [True, False])
@pytest.mark.parametrize(("k", "stride", "padding"), [(2, 2, 0), (3, 2, 1), (3, 1, 1)])
def test_avg_pool(ndim, count_padding, k, stride, padding):
    (x,) = normals(3, (2, *LENGTHS[ndim], 3))
    options = {"stride": stride, "padding": padding}
    compare(
        lambda x: ops.avg_pool(x, k, count_padding=count_padding, **options),
        lambda x: getattr(F, f"avg_pool{ndim}d")(x, k, count_include_pad=count_padding, **options),
        x,
        [],
    )


def test_ceil_mode_is_an_exact_padding():
    (x,) = normals(4, (2, 8, 7, 3))
    tx = to_torch(x)
    pads = ((1, 2), (1, 1))  # 8 needs one pixel more behind for the last window, 7 does not
    np.testing.assert_array_equal(
        ops.max_pool(x, 3, stride=2, padding=pads),
        from_torch(F.max_pool2d(tx, 3, 2, 1, ceil_mode=True)),
    )
    uncounted = F.avg_pool2d(tx, 3, 2, 1, ceil_mode=True, count_include_pad=False)
    np.testing.assert_allclose(
        ops.avg_pool(x, 3, stride=2, padding=pads), from_torch(uncounted), **CLOSE
    )
    # Counted padding is the image's own zeros; only ceil_mode's extra pixel is not counted.
    counted = F.avg_pool2d(tx, 3, 2, 1, ceil_mode=True, count_include_pad=True)
    by_hand = np.pad(x, ((0, 0), (1, 1), (1, 1), (0, 0)))
    np.testing.assert_allclose(
        ops.avg_pool(by_hand, 3, stride=2, padding=((0, 1), (0, 0))), from_torch(counted), **CLOSE
    )


@pytest.mark.parametrize("ndim", [1, 2, 3])
def test_batch_norm(ndim):
    x, scale, bias = normals(5, (4, *LENGTHS[ndim], 3), (3,), (3,))
    theirs = getattr(torch.nn, f"BatchNorm{ndim}d")(3)
    with torch.no_grad():
        theirs.weight.copy_(torch.tensor(scale))
        theirs.bias.copy_(torch.tensor(bias))
    layer = BatchNorm()
    _, state = layer.init(jax.random.key(0), x)
    params = {"scale": jnp.asarray(scale), "bias": jnp.asarray(bias)}
    compare(lambda x: layer.apply(params, state, x, train=True)[0], theirs, x, [])
    for _ in range(3):
        _, state = layer.apply(params, state, x, train=True)
    theirs(to_torch(x)), theirs(to_torch(x))  # the first of three was in compare
    np.testing.assert_allclose(state["mean"], theirs.running_mean.numpy(), **CLOSE)
    np.testing.assert_allclose(state["var"], theirs.running_var.numpy(), **CLOSE)
    theirs.eval()
    np.testing.assert_allclose(
        layer.apply(params, state, x, train=False)[0], from_torch(theirs(to_torch(x))), **CLOSE
    )


@pytest.mark.parametrize(
    ("layer", "theirs"),
    [
        (GroupNorm(3), lambda x: F.group_norm(x, 3)),
        (GroupNorm(None, group_size=1), F.instance_norm),
        (LayerNorm(), lambda x: F.layer_norm(x.movedim(1, -1), (6,)).movedim(-1, 1)),
    ],
    ids=["group", "instance", "layer"],
)
def test_other_norms(layer, theirs):
    (x,) = normals(6, (3, 5, 4, 6))
    params, state = layer.init(jax.random.key(0), x)
    compare(lambda x: layer.apply(params, state, x, train=True)[0], theirs, x, [])


@pytest.mark.parametrize("name", ["relu", "sigmoid", "softplus", "silu", "elu", "relu6", "softmax"])
def test_activations(name):
    (x,) = normals(7, (3, 5))
    theirs = getattr(F, name)
    options = {"dim": -1} if name == "softmax" else {}
    expected = theirs(torch.tensor(3 * x), **options).numpy()
    np.testing.assert_allclose(getattr(jax.nn, name)(3 * x), expected, **CLOSE)
