"""The recipes, one file each, by the name that `python -m train` knows them by."""

from train.recipe import Recipe
from train.recipes.digits import Digits
from train.recipes.fashion_mnist import FashionMnist
from train.recipes.mnist import Mnist

RECIPES: dict[str, type[Recipe]] = {cls.name: cls for cls in (Digits, Mnist, FashionMnist)}
