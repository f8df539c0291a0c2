"""The recipes, one file each, by the name that `python -m train` knows them by."""

from train.recipe import Recipe
from train.recipes.cifar10 import Cifar10
from train.recipes.cifar10_resnet import Cifar10Resnet
from train.recipes.cifar100 import Cifar100
from train.recipes.digits import Digits
from train.recipes.fashion_mnist import FashionMnist
from train.recipes.imagenet import Imagenet
from train.recipes.kmnist import Kmnist
from train.recipes.mnist import Mnist
from train.recipes.npz import Npz
from train.recipes.spoken_digits import SpokenDigits
from train.recipes.uci_har import UciHar

RECIPES: dict[str, type[Recipe]] = {
    cls.name: cls
    for cls in (
        Digits,
        Mnist,
        FashionMnist,
        Kmnist,
        Cifar10,
        Cifar10Resnet,
        Cifar100,
        SpokenDigits,
        UciHar,
        Imagenet,
        Npz,
    )
}
