"""Inputs that stay on the disk: Grain's workers read them, batch after batch, ahead of the steps.

The workers are threads. Pillow decodes and scales without Python's lock, which is held for an
eighth of the time that a photograph takes, so up to about eight of them work like as many
processes; and they start at once, and none dies unheard: what goes wrong in one is raised where
its batch is asked for.
"""

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, overload

import jax
import numpy as np
from jax.sharding import NamedSharding

AHEAD = 2  # batches whose inputs are read ahead


class Streamed:
    """Inputs (N, *S, C) in a file each, which is read whenever its input is asked for.

    An index gives an input; a slice or a mask gives fewer of them, `numpy.asarray` all in memory.
    """

    def __init__(
        self,
        files: Sequence[str] | np.ndarray,
        read: Callable[[str], np.ndarray],
        shape: tuple[int, ...],
        dtype: Any,
        workers: int,
    ) -> None:
        """read: gives the input (*S, C), of this shape and dtype, that is in a file."""
        self.files, self.read, self.workers = np.array(files, object), read, workers
        self.shape, self.dtype = (len(files), *shape), np.dtype(dtype)

    @property
    def ndim(self) -> int:
        return len(self.shape)

    @property
    def nbytes(self) -> int:
        """What they would take in memory."""
        return int(np.prod(self.shape, dtype=np.int64)) * self.dtype.itemsize

    def __len__(self) -> int:
        return len(self.files)

    @overload
    def __getitem__(self, index: int | np.integer) -> np.ndarray: ...
    @overload
    def __getitem__(self, index: slice | np.ndarray) -> "Streamed": ...
    def __getitem__(self, index):
        if isinstance(index, (slice, np.ndarray)):
            files = self.files[index]
            return Streamed(files, self.read, self.shape[1:], self.dtype, self.workers)
        return self.read(str(self.files[index]))

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        inputs = np.empty(self.shape, self.dtype)
        with ThreadPoolExecutor(self.workers) as threads:
            for index, one in enumerate(threads.map(self.read, self.files.tolist())):
                inputs[index] = one
        return inputs if dtype is None else inputs.astype(dtype, copy=False)


class Batches:
    """Batches (inputs, labels) on the devices, out of inputs that stream.

    While one is computed with, the next one is on its way to the devices, and the inputs of those
    after it are read.
    """

    def __init__(
        self, inputs: Streamed, labels: np.ndarray, rows: np.ndarray, sharding: NamedSharding
    ) -> None:
        """rows (batches, batch_size): which inputs each batch has. sharding: of a batch."""
        self.inputs, self.labels, self.rows, self.sharding = inputs, labels, rows, sharding
        self._iterator: Any = None
        self._at = -1
        self._last: Any = None

    def __getitem__(self, index: int) -> tuple[jax.Array, jax.Array]:
        """Batch `index`: any one at first, then the same again or the one after it.

        Raises DataError for a file that is damaged, and whatever else went wrong in a worker.
        """
        if self._iterator is None:
            self._iterator, self._at = self._begin(index), index - 1
        if index != self._at:
            if index != self._at + 1:
                raise IndexError(f"batch {index} was asked for after batch {self._at}")
            self._last, self._at = next(self._iterator), index
        return self._last

    def close(self) -> None:
        """End the workers."""
        if self._iterator is not None:
            self._iterator.close()

    def _begin(self, first: int) -> Iterator[Any]:
        import grain  # here: most runs need it not

        inputs, labels, workers = self.inputs, self.labels, self.inputs.workers
        count = self.rows.shape[1]

        def read(row: int) -> tuple[np.ndarray, np.integer]:
            try:
                return inputs[row], labels[row]
            except Exception:
                raise
            except BaseException as error:
                # Grain hands on an Exception; after anything else it would wait for ever.
                raise RuntimeError(f"a worker ended: {error!r}") from error

        def put(batch: tuple[np.ndarray, np.ndarray]) -> Any:
            return tuple(
                jax.make_array_from_process_local_data(
                    self.sharding, part, (count, *part.shape[1:])
                )
                for part in batch
            )

        mine = self.rows[first:, _local(self.sharding, count)]
        size = mine.shape[1]
        batches = (
            grain.MapDataset.source(mine.ravel().tolist())
            .map(read)
            .to_iter_dataset(grain.ReadOptions(workers, max(workers, AHEAD * size)))
            .batch(size)
            .map(put)
        )
        return iter(grain.experimental.ThreadPrefetchIterDataset(batches, prefetch_buffer_size=1))


def _local(sharding: NamedSharding, count: int) -> slice:
    """The rows of a batch of `count` that this process's devices hold: it reads no others."""
    places = sharding.addressable_devices_indices_map((count,)).values()
    ranges = [place[0].indices(count) for place in places if place is not None]
    return slice(min(start for start, *_ in ranges), max(stop for _, stop, _ in ranges))
