"""What a recipe's augmentation is given in each step, and the targets that it gives."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from torture import Tiny
from watched import Watched

from train import devices
from train.data import Batch
from train.program import compile_program
from train.recipes import RECIPES
from train.run import run

SEEN = []
LEVELS = 20.0 * np.arange(10)  # the gray of each class


class Watching(Tiny):
    """Keeps every batch that it is asked to augment."""

    def augment(self, key, batch):
        jax.debug.callback(lambda *parts: SEEN.append(Batch(*map(np.array, parts))), *batch)
        return super().augment(key, batch)


def test_a_batch_knows_its_place_in_the_data_set_and_its_epoch(tmp_path):
    recipe = Watching(epochs=2, devices=1)
    data = recipe.load(print)
    program = compile_program(recipe, data, devices.mesh(1, 16), Watched())
    run(recipe, tmp_path, program, data, Watched())
    jax.effects_barrier()
    key = program.init(jnp.uint32(recipe.seed))[1]
    for epoch in range(2):
        batches = [batch for batch in SEEN if batch.epoch == epoch]
        rows = {tuple(batch.index.tolist()) for batch in batches}
        order = program.order(key, jnp.int32(epoch * program.steps_per_epoch))
        assert rows == {tuple(row.tolist()) for row in order}
    assert len(SEEN) == program.total_steps == 24
    for batch in SEEN:
        np.testing.assert_array_equal(batch.inputs, data.train[0][batch.index])
        np.testing.assert_array_equal(batch.labels, data.train[1][batch.index])


@functools.cache
def augmentation(**options):
    """That of cifar10, which does not move the images; compiled once."""
    return jax.jit(RECIPES["cifar10"](shift=0, **options).augment)


def augmented(key, images, epoch=0, **options):
    """What it makes of a batch with the labels 0, 1, …, 9, 0, …"""
    index = jnp.arange(len(images), dtype=jnp.int32)
    batch = Batch(jnp.asarray(images), index % 10, index, jnp.int32(epoch))
    inputs, targets = augmentation(**options)(jax.random.key(key), batch)
    return np.asarray(inputs), np.asarray(targets)


def gray(count):
    """Images of one level, which is their label's."""
    levels = LEVELS[np.arange(count) % 10].astype(np.uint8)
    return np.broadcast_to(levels[:, None, None, None], (count, 8, 8, 3))


def test_flips():
    images = np.random.default_rng(0).integers(0, 256, (40, 8, 8, 3), np.uint8)
    mirrored = images[:, :, ::-1]

    def turned(out):
        """Which images were mirrored; the others must be as they were."""
        found = (out == mirrored).all(axis=(1, 2, 3))
        np.testing.assert_array_equal(out[~found], images[~found])
        return found

    first, second = (turned(augmented(epoch, images, epoch)[0]) for epoch in (0, 1))
    assert 10 < first.sum() < 30
    np.testing.assert_array_equal(second, ~first)
    drawn = [turned(augmented(key, images, flip="random")[0]) for key in (0, 1)]
    assert 10 < drawn[0].sum() < 30
    assert (drawn[0] == drawn[1]).any()
    assert (drawn[0] != drawn[1]).any()
    out, labels = augmented(0, images, flip="none")
    np.testing.assert_array_equal(out, images)
    np.testing.assert_array_equal(labels, np.arange(40) % 10)


@pytest.mark.parametrize(
    "options", [{"mixup": 1.0}, {"cutmix": 1.0}, {"mixup": 1.0, "cutmix": 1.0}]
)
def test_mixed_targets_are_the_shares_of_what_is_in_the_image(options):
    kinds = []
    for key in range(8):
        images, targets = augmented(key, gray(20), **options)
        assert images.dtype == targets.dtype == np.float32
        assert targets.shape == (20, 10)
        np.testing.assert_allclose(targets.sum(axis=1), 1.0, rtol=1e-6)
        # The mean level: a float32 sum of 192 values of up to 180.
        np.testing.assert_allclose(images.mean(axis=(1, 2, 3)), targets @ LEVELS, rtol=1e-5)
        assert (targets.max(axis=1) < 0.99).any()
        pasted = np.isin(images, LEVELS).all()  # mixup makes levels in between
        kinds.append("cutmix" if pasted else "mixup")
    assert set(kinds) == set(options)


def test_zoom_scales_a_digit_and_shift_moves_it():
    square = np.zeros((200, 28, 28, 1), np.uint8)
    square[:, 10:18, 10:18] = 200
    index = jnp.arange(200, dtype=jnp.int32)
    batch = Batch(jnp.asarray(square), index % 10, index, jnp.int32(0))

    def sizes_and_centres(**options):
        recipe = RECIPES["mnist"](shift=2, **options)
        images, labels = recipe.augment(jax.random.key(0), batch)
        np.testing.assert_array_equal(labels, np.arange(200) % 10)
        mass = np.asarray(images, np.float64)[..., 0] / 200
        assert mass.shape == (200, 28, 28)
        middle = np.arange(28) + 0.5
        rows, columns = mass.sum(axis=2), mass.sum(axis=1)
        # A square of h x w pixels: its mass is h * w, the largest column h, the largest row w.
        centres = [(part * middle).sum(axis=1) / part.sum(axis=1) for part in (rows, columns)]
        return np.stack([columns.max(axis=1), rows.max(axis=1)]) / 8, np.stack(centres) - 14

    sizes, moves = sizes_and_centres(zoom=0.0)
    np.testing.assert_array_equal(sizes, 1.0)
    assert set(np.unique(moves)) == {-2, -1, 0, 1, 2}
    sizes, moves = sizes_and_centres(zoom=0.15)
    # The side is within 1 ± 0.15 and its height and width differ from it by a factor of at most
    # sqrt(0.85), but no part is larger than the padded image; a rounding is half a pixel of 24.
    assert 28 / 32 - 0.01 < sizes.min() < 0.9
    assert 1.15 < sizes.max() < 1 / (0.85 * 0.85**0.5) + 0.03
    assert np.abs(sizes[0] / sizes[1] - 1).mean() > 0.02  # stretched
    assert 1.0 < np.abs(moves).max() < 6


def test_an_erased_square_is_zero_and_the_label_stays():
    images, labels = augmented(0, gray(20) + 1, erase=4)
    assert set(np.unique(images)) == {0, *(LEVELS + 1)}
    erased = (images == 0).all(axis=-1).sum(axis=(1, 2))
    assert erased.min() >= 4  # of 16: a quarter, where the centre is the image's corner
    assert erased.max() == 16
    np.testing.assert_array_equal(labels, np.arange(20) % 10)
