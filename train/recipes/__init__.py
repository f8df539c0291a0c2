"""The recipes, one file each, by the name that `python -m train` knows them by."""

from train.recipe import Recipe
from train.recipes.cifar10 import Cifar10
from train.recipes.digits import Digits
from train.recipes.fashion_mnist import FashionMnist
from train.recipes.mnist import Mnist
from train.recipes.spoken_digits import SpokenDigits
from train.recipes.uci_har import UciHar

RECIPES: dict[str, type[Recipe]] = {
    cls.name: cls for cls in (Digits, Mnist, FashionMnist, Cifar10, SpokenDigits, UciHar)
}
