"""Size arithmetic against published numbers and against counting."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jax import lax

from fcnn.geometry import (
    effective_size,
    keep_padding,
    output_size,
    receptive_field,
    same_padding,
    transposed_size,
)

CONV3 = (3, 1, 1, 1)
CONV1 = (1, 1, 0, 1)
POOL2 = (2, 2, 0, 1)

# (i, (k, s, p, d), output size): the papers' own tables.
PUBLISHED_SIZES = {
    # LeCun et al. 1998, figure 2: 32 -> 28 -> 14 -> 10 -> 5 -> 1.
    "LeNet-5 C1": (32, (5, 1, 0, 1), 28),
    "LeNet-5 S2": (28, POOL2, 14),
    "LeNet-5 C3": (14, (5, 1, 0, 1), 10),
    "LeNet-5 C5": (5, (5, 1, 0, 1), 1),
    # Krizhevsky et al. 2012: 55, 27, 13, 6 (from 227; its text says 224).
    "AlexNet conv1": (227, (11, 4, 0, 1), 55),
    "AlexNet pool1": (55, (3, 2, 0, 1), 27),
    "AlexNet conv2": (27, (5, 1, 2, 1), 27),
    "AlexNet pool2": (27, (3, 2, 0, 1), 13),
    "AlexNet conv3": (13, CONV3, 13),
    "AlexNet pool5": (13, (3, 2, 0, 1), 6),
    # Simonyan & Zisserman 2014: 3x3 convolutions keep 224, each pool halves it.
    "VGG conv": (224, CONV3, 224),
    "VGG pool": (224, POOL2, 112),
    # He et al. 2015, table 1: 112, 56, 28, 14, 7.
    "ResNet conv1": (224, (7, 2, 3, 1), 112),
    "ResNet pool1": (112, (3, 2, 1, 1), 56),
    "ResNet conv3_1": (56, (3, 2, 1, 1), 28),
    "ResNet shortcut": (56, (1, 2, 0, 1), 28),
    # Liu et al. 2022: patchify stem, and the 2x2 downsampling between stages.
    "ConvNeXt stem": (224, (4, 4, 0, 1), 56),
    "ConvNeXt depthwise": (56, (7, 1, 3, 1), 56),
    # Dumoulin & Visin, figures 2.1 to 2.7 (relationships 1, 2, 3, 4, 5, 6, 6) and 5.1 (15).
    "Dumoulin 2.1": (4, (3, 1, 0, 1), 2),
    "Dumoulin 2.2": (5, (4, 1, 2, 1), 6),
    "Dumoulin 2.3": (5, (3, 1, 1, 1), 5),
    "Dumoulin 2.4": (5, (3, 1, 2, 1), 7),
    "Dumoulin 2.5": (5, (3, 2, 0, 1), 2),
    "Dumoulin 2.6": (5, (3, 2, 1, 1), 3),
    "Dumoulin 2.7": (6, (3, 2, 1, 1), 3),
    "Dumoulin 5.1": (7, (3, 1, 0, 2), 3),
}


@pytest.mark.parametrize("name", PUBLISHED_SIZES)
def test_published_output_sizes(name):
    i, window, expected = PUBLISHED_SIZES[name]
    assert output_size(i, *window) == expected


# Dumoulin & Visin, figures 4.1 to 4.7 (relationships 8 to 14): (i, k, s, p, output_padding, size).
@pytest.mark.parametrize(
    ("i", "k", "s", "p", "output_padding", "expected"),
    [
        (2, 3, 1, 0, 0, 4),
        (6, 4, 1, 2, 0, 5),
        (5, 3, 1, 1, 0, 5),
        (7, 3, 1, 2, 0, 5),
        (2, 3, 2, 0, 0, 5),
        (3, 3, 2, 1, 0, 5),
        (3, 3, 2, 1, 1, 6),
    ],
)
def test_published_transposed_sizes(i, k, s, p, output_padding, expected):
    assert transposed_size(i, k, s, p, output_padding=output_padding) == expected


def test_dumoulin_relationships_as_formulas():
    for i in range(4, 9):
        for k in range(1, 5):
            assert output_size(i, k) == (i - k) + 1  # 1
            assert output_size(i, k, p=k - 1) == i + (k - 1)  # 4, full padding
            assert transposed_size(i, k) == i + (k - 1)  # 8
            for p in range(k):
                assert output_size(i, k, p=p) == (i - k) + 2 * p + 1  # 2
                assert transposed_size(i, k, p=p) == i + (k - 1) - 2 * p  # 9
                for s in (1, 2, 3):
                    assert output_size(i, k, s, p) == (i + 2 * p - k) // s + 1  # 5, 6, 7
                    left = (i + 2 * p - k) % s
                    back = transposed_size(output_size(i, k, s, p), k, s, p, output_padding=left)
                    assert back == i  # 12, 13, 14
    for k in (1, 3, 5, 7):
        p = keep_padding(k)
        assert output_size(9, k, p=p) == 9  # 3, half padding
        assert transposed_size(9, k, p=p) == 9  # 10
        assert transposed_size(9, k, p=k - 1) == 9 - (k - 1)  # 11


def slim_resnet(units):
    """ResNet v1 as TF-Slim builds it: the stride sits in a stage's last unit, not its first."""
    chain = [(7, 2, 3, 1), (3, 2, 0, 1)]  # SAME pooling of an even size pads (0, 1)
    for stage, count in enumerate(units):
        last = (3, 2, 1, 1) if stage < 3 else CONV3
        chain += [CONV1, CONV3, CONV1] * (count - 1) + [CONV1, last, CONV1]
    return chain


def mobilenet_v1():
    strides = [2, 1, 2, 1, 2, 1, 2, 1, 1, 1, 1, 1, 2, 1]
    return [(3, s, 0 if s == 2 else 1, 1) for s in strides]


VGG16 = [layer for convs in (2, 2, 3, 3, 3) for layer in [*[CONV3] * convs, POOL2]]
ALEXNET = [
    *[(11, 4, 0, 1), (3, 2, 0, 1), (5, 1, 2, 1), (3, 2, 0, 1)],
    *[CONV3, CONV3, CONV3, (3, 2, 0, 1)],
]

# Size, stride and effective padding from the table in distill.pub/2019/computing-receptive-fields
# and its code. The effective padding P fixes the centre: offset = (size - 1) / 2 - P.
PUBLISHED_FIELDS = {
    "alexnet_v2": (ALEXNET, 195, 32, 64),
    "vgg_16": (VGG16, 212, 32, 90),
    "resnet_v1_50": (slim_resnet((3, 4, 6, 3)), 483, 32, 239),
    "resnet_v1_101": (slim_resnet((3, 4, 23, 3)), 1027, 32, 511),
    "resnet_v1_152": (slim_resnet((3, 8, 36, 3)), 1507, 32, 751),
    "mobilenet_v1": (mobilenet_v1(), 315, 32, 126),
}


@pytest.mark.parametrize("name", PUBLISHED_FIELDS)
def test_published_receptive_fields(name):
    chain, size, stride, padding = PUBLISHED_FIELDS[name]
    assert receptive_field(chain) == (size, stride, (size - 1) / 2 - padding)


def test_receptive_field_by_hand():
    assert receptive_field([]) == (1, 1, 0.0)
    assert receptive_field([CONV3] * 3) == (7, 1, 0.0)
    # A 2-tap window sees pixels 0 and 1: its centre is between them.
    assert receptive_field([POOL2]) == (2, 2, 0.5)
    # Causal: the last tap is the pixel itself, so the centre is behind it.
    assert receptive_field([(3, 1, (4, 0), 2)]) == (5, 1, -2.0)
    # WaveNet: dilations 1, 2, 4, ..., 512 with kernel 2 see 1024 samples.
    assert receptive_field([(2, 1, (d, 0), d) for d in [2**n for n in range(10)]]).size == 1024


pads = st.tuples(st.integers(0, 4), st.integers(0, 4))
windows = st.tuples(st.integers(1, 5), st.integers(1, 4), pads, st.integers(1, 3))


def taps(o, k, s, p, d):
    return [s * o - p[0] + d * t for t in range(k)]


def positions(i, k, s, p, d):
    """Window positions counted one by one: from the first that fits to the last."""
    count = 0
    while taps(count, k, s, p, d)[-1] < i + p[1]:
        count += 1
    return count


@settings(deadline=None, derandomize=True)
@given(st.integers(1, 12), windows)
def test_output_size_counts_window_positions(i, window):
    k, s, p, d = window
    expected = positions(i, *window)
    if expected == 0:
        with pytest.raises(ValueError, match="larger than the input"):
            output_size(i, k, s, p, d)
        return
    assert output_size(i, k, s, p, d) == expected
    assert positions(i, k, 1, p, 1) == output_size(i, k, p=p) >= expected


@settings(deadline=None, derandomize=True)
@given(st.integers(1, 12), windows)
def test_transposed_size_is_the_stretch_of_all_pastes(i, window):
    k, s, p, d = window
    last = taps(i - 1, k, s, p, d)[-1]
    if last - p[1] < 0:
        with pytest.raises(ValueError, match="leaves a transposed size"):
            transposed_size(i, k, s, p, d)
        return
    assert transposed_size(i, k, s, p, d) == last - p[1] + 1


@settings(deadline=None, derandomize=True)
@given(st.integers(1, 30), windows)
def test_same_padding_is_xlas(i, window):
    k, s, _, d = window
    low, high = same_padding(i, k, s, d)
    assert [(low, high)] == lax.padtype_to_pads([i], [effective_size(k, d)], [s], "SAME")
    assert output_size(i, k, s, (low, high), d) == -(-i // s)
    assert high - low in (0, 1)


@settings(deadline=None, derandomize=True)
@given(st.integers(1, 6), st.integers(1, 3))
def test_keep_padding_keeps_the_size_or_says_why_not(k, d):
    if d * (k - 1) % 2:
        with pytest.raises(ValueError, match=f"kernel {k} with dilation {d} covers"):
            keep_padding(k, d)
        return
    assert output_size(10, k, p=keep_padding(k, d), d=d) == 10


@settings(deadline=None, derandomize=True)
@given(st.lists(windows, max_size=4))
def test_receptive_field_is_what_the_taps_reach(chain):
    """Follow outputs 0 and 1 back to the pixels (padding included) that they are made of."""

    def pixels(output):
        reached = {output}
        for window in reversed(chain):
            reached = {pixel for o in reached for pixel in taps(o, *window)}
        return min(reached), max(reached)

    (low, high), (next_low, _) = pixels(0), pixels(1)
    size, stride, offset = receptive_field(chain)
    assert (size, stride, offset) == (high - low + 1, next_low - low, (low + high) / 2)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: output_size(4, 7, p=1), r"window of 7 .* input 4 padded by \(1, 1\)"),
        (lambda: output_size(4, 3, d=2), r"window of 5 \(kernel 3, dilation 2\) is larger"),
        (lambda: output_size(0, 1), "input_size must be at least 1, got 0"),
        (lambda: output_size(4, 0), "kernel_size must be at least 1, got 0"),
        (lambda: output_size(4, 3, s=0), "stride must be at least 1, got 0"),
        (lambda: output_size(4, 3, p=-1), "padding must be at least 0, got -1"),
        (lambda: output_size(4, 3, p=(1, -2)), "padding must be at least 0, got -2"),
        (lambda: output_size(4, 3, d=0), "dilation must be at least 1, got 0"),
        (lambda: transposed_size(1, 3, p=2), "leaves a transposed size of -1"),
        (lambda: transposed_size(4, 3, s=2, output_padding=2), "output_padding 2 must be smaller"),
        (lambda: transposed_size(4, 3, output_padding=-1), "output_padding must be at least 0"),
        (lambda: keep_padding(4), "kernel 4 with dilation 1 covers 4 values, an even number"),
        (lambda: same_padding(-1, 3), "input_size must be at least 0, got -1"),
        (lambda: receptive_field([(3, 0, 1, 1)]), "stride must be at least 1, got 0"),
    ],
)
def test_errors(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def test_a_float_size_is_a_type_error():
    with pytest.raises(TypeError, match=r"input_size must be an int, got 4\.0"):
        output_size(4.0, 3)
