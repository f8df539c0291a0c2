import jax.numpy as jnp
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fcnn import tree

names = st.text("abc019_", min_size=1, max_size=3)
trees = st.recursive(
    st.dictionaries(names, st.integers(), min_size=1, max_size=3),
    lambda inner: st.dictionaries(names, inner | st.integers(), min_size=1, max_size=3),
    max_leaves=8,
)


@settings(deadline=None, derandomize=True)
@given(trees)
def test_names_round_trip(nested):
    assert tree.from_names(tree.to_names(nested)) == nested


@pytest.mark.parametrize("key", ["a/b", "", 3])
def test_a_key_that_would_not_round_trip_is_refused(key):
    with pytest.raises(ValueError, match="name must be text without '/'"):
        tree.to_names({key: 1})


@pytest.mark.parametrize("flat", [{"a": 1, "a/b": 2}, {"a/b": 2, "a": 1}])
def test_a_path_that_is_leaf_and_parent_is_refused(flat):
    with pytest.raises(ValueError, match="leaf"):
        tree.from_names(flat)


def test_count():
    assert tree.count({"a": jnp.zeros((2, 3)), "b": {"c": jnp.zeros(())}}) == 7
    assert tree.count({}) == 0


def test_label_takes_the_first_match_and_covers_everything():
    params = {"stem": {"kernel": 0, "bias": 0}, "head": {"kernel": 0}}
    labels = tree.label(params, [(r"head/.*", "fast"), (r".*/kernel", "decay"), (r".*", "plain")])
    assert labels == {"stem": {"kernel": "decay", "bias": "plain"}, "head": {"kernel": "fast"}}


def test_label_names_what_no_rule_covers_and_what_covers_nothing():
    params = {"stem": {"kernel": 0, "bias": 0}}
    with pytest.raises(ValueError, match=r"no rule matches \['stem/bias'\].*\['steam/.\*'\]"):
        tree.label(params, [(r".*/kernel", 1), (r"steam/.*", 2)])
