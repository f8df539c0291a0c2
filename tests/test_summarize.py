import jax
import jax.numpy as jnp
import pytest

import fcnn
from fcnn import AvgPool, BatchNorm, Conv, ConvTranspose, Dense, DepthwiseConv, MaxPool
from fcnn.models import build


def rows(model, shape):
    return {row.path: row for row in fcnn.summary(model, shape).rows}


def test_multiply_accumulates_equal_a_hand_count():
    model = fcnn.sequential(
        a=Conv(8, 3, stride=2, padding=1),
        b=DepthwiseConv(3),
        c=Conv(6, 3, groups=2, dilation=2),
        d=ConvTranspose(4, 4, stride=2, padding=1),
        e=BatchNorm(),
        f=fcnn.global_avg_pool,
        g=Dense(5),
    )
    got = {path: row.macs for path, row in rows(model, (2, 8, 8, 3)).items()}
    assert got == {
        "a": 2 * 4 * 4 * 8 * (9 * 3),
        "b": 2 * 4 * 4 * 8 * 9,
        "c": 2 * 4 * 4 * 6 * (9 * 4),
        "d": 2 * 4 * 4 * 6 * (16 * 4),  # each input value pastes one kernel
        "e": 0,
        "f": 0,
        "g": 2 * 4 * 5,
    }


@pytest.mark.parametrize(
    ("name", "gigamacs"),
    [
        # torchvision's documented GFLOPS (which count multiply-adds), two decimals.
        ("resnet18", 1.81),
        ("resnet50", 4.09),
        ("resnet152", 11.51),
        ("vgg16", 15.47),
        ("mobilenet_v2", 0.30),
        ("convnext_tiny", 4.46),
    ],
)
def test_multiply_accumulates_equal_the_published_count(name, gigamacs):
    summary = fcnn.summary(build(name), (1, 224, 224, 3))
    assert round(summary.macs / 1e9, 2) == pytest.approx(gigamacs, abs=0.0101)


def test_totals_and_columns():
    model = fcnn.sequential(Conv(4), BatchNorm(), jax.nn.relu, MaxPool(2), fcnn.flatten, Dense(3))
    summary = fcnn.summary(model, jax.ShapeDtypeStruct((2, 6, 6, 1), jnp.bfloat16))
    assert summary.params == 40 + 8 + (36 * 3 + 3)
    assert summary.state == 8
    assert [row.layer for row in summary.rows] == [
        "Conv", "BatchNorm", "relu", "MaxPool", "flatten", "Dense",
    ]  # fmt: skip
    assert [row.output for row in summary.rows][3:] == [(2, 3, 3, 4), (2, 36), (2, 3)]
    assert summary.rows[0].activation_bytes == 2 * 6 * 6 * 4 * 2
    assert {row.dtype for row in summary.rows} == {"bfloat16"}


def test_receptive_fields():
    vgg = fcnn.sequential(Conv(1), Conv(1), MaxPool(2), Conv(1), Conv(1), MaxPool(2), Conv(1))
    fields = [row.field for row in fcnn.summary(vgg, (1, 32, 32, 1)).rows]
    assert fields == [(v, v) for v in (3, 5, 6, 10, 14, 16, 24)]


def test_receptive_field_of_resnet_published():
    """Araujo et al. 2019 have 483 for ResNet-50 with the stride on each block's 1×1 convolution.

    On the 3×3, as here, that window takes smaller steps: 4, 8 and 16 less twice, 427.
    """
    found = rows(build("resnet50"), (1, 224, 224, 3))
    assert max(row.field[0] for row in found.values() if row.field) == 483 - 2 * (4 + 8 + 16)


def test_receptive_field_takes_the_longer_branch_and_ends_at_the_head():
    model = fcnn.sequential(
        fcnn.residual(Conv(2, 5), Conv(2, 1)), AvgPool(2), fcnn.global_avg_pool, Dense(1)
    )
    fields = [row.field for row in fcnn.summary(model, (1, 8, 8, 2)).rows]
    assert fields == [(5, 5), (1, 1), (6, 6), None, None]


def test_receptive_field_through_a_transposed_convolution():
    """Twice the size: behind it a 3-tap window reaches over two inputs only."""
    model = fcnn.sequential(ConvTranspose(1, 2, stride=2, padding=0), Conv(1, 3))
    fields = [row.field for row in fcnn.summary(model, (1, 8, 1)).rows]
    assert fields == [(1,), (2,)]


def test_repeat_counts_every_copy():
    block = fcnn.residual(Conv(4))
    one = fcnn.summary(fcnn.sequential(block, block, block), (1, 8, 8, 4))
    many = fcnn.summary(fcnn.repeat(block, 3), (1, 8, 8, 4))
    assert many.params == one.params
    assert many.macs == one.macs
    assert many.activation_bytes == one.activation_bytes
    after = fcnn.sequential(fcnn.repeat(block, 3), Conv(1))
    assert fcnn.summary(after, (1, 8, 8, 4)).rows[-1].field == (9, 9)
    assert "×3" in str(many)


def test_a_foreign_layer_is_a_row():
    class Shift:
        def init(self, key, x):
            return {"bias": jnp.ones(())}, {}

        def apply(self, params, state, x, *, train, key=None):
            return x + params["bias"].reshape((1,) * x.ndim), state

    (row,) = fcnn.summary(fcnn.sequential(Shift()), (1, 4)).rows
    assert (row.layer, row.params, row.macs) == ("Shift", 1, 0)


def test_an_error_names_the_layer():
    model = fcnn.sequential(stem=Conv(4), body=fcnn.sequential(Conv(4, groups=3)))
    with pytest.raises(ValueError, match="groups=3 must divide") as info:
        fcnn.summary(model, (1, 8, 8, 3))
    assert info.value.__notes__[-2].startswith("  in 0: Conv(features=4, groups=3) on float32")
    assert info.value.__notes__[-1].startswith("  in body: Sequential")
