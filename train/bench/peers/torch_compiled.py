"""PyTorch with torch.compile."""

from train.bench.models import Subject
from train.bench.peers import Contender
from train.bench.peers import torch as eager


def contender(subject: Subject, images, labels) -> Contender:
    return eager.contender(subject, images, labels, compiled=True)
