"""Training: one pure step, jitted and donated; the same step over an epoch; exact evaluation.

Losses, schedules and optimizers are optax's own. All randomness is `fold_in(key, step)`: a
`TrainState` and the key are everything a restart needs, and it repeats the run bit for bit.
"""

from fcnn.training.compiler import compiler_options
from fcnn.training.epoch import batch_order, epoch_step
from fcnn.training.evaluate import eval_step, evaluate
from fcnn.training.loss import cross_entropy
from fcnn.training.state import TrainState, init_train_state
from fcnn.training.step import train_step

__all__ = [
    "TrainState",
    "batch_order",
    "compiler_options",
    "cross_entropy",
    "epoch_step",
    "eval_step",
    "evaluate",
    "init_train_state",
    "train_step",
]
