"""The shapes inside a network, for libraries whose layers must be told their input channels."""

import jax


def after(layer, shape: tuple[int, ...]) -> tuple[int, ...]:
    """The shape that this layer makes of x of this shape, from an abstract trace."""

    def run(x):
        if not hasattr(layer, "apply"):
            return layer(x)
        params, state = layer.init(jax.random.key(0), x)
        return layer.apply(params, state, x, train=True, key=jax.random.key(0))[0]

    return jax.eval_shape(run, jax.ShapeDtypeStruct(shape, "float32")).shape
