"""The cell of a neural architecture search."""

import numpy as np

from tests.references.common import Array, Arrays, Case, Options, sigmoid


def relu(x: Array) -> Array:
    return np.maximum(x, 0)


def _nas(
    params: Arrays, carry: Arrays, x: Array, options: Options
) -> tuple[dict[str, Array], Array]:
    """Zoph and Le, "Neural architecture search with reinforcement learning" (2017).

    arXiv:1611.01578, figure 8, as in `tf.contrib.rnn.NASCell`: a tree of eight leaves, each of one
    product with x and one with h, the bias with the latter; leaf 3 multiplies them, the others add.
    The new memory is taken in the middle of the tree, the new state at its root.
    """
    del options
    memory, h = carry["cell"], carry["hidden"]
    units = memory.shape[0]

    def of_x(n: int) -> Array:
        return x @ params["kernel"][:, n * units : (n + 1) * units]

    def of_h(n: int) -> Array:
        columns = slice(n * units, (n + 1) * units)
        product = h @ params["recurrent_kernel"][:, columns]
        return product + params["bias"][columns] if "bias" in params else product

    leaf_0 = sigmoid(of_x(0) + of_h(0))
    leaf_1 = relu(of_x(1) + of_h(1))
    leaf_2 = sigmoid(of_x(2) + of_h(2))
    leaf_3 = relu(of_x(3) * of_h(3))
    leaf_4 = np.tanh(of_x(4) + of_h(4))
    leaf_5 = sigmoid(of_x(5) + of_h(5))
    leaf_6 = np.tanh(of_x(6) + of_h(6))
    leaf_7 = sigmoid(of_x(7) + of_h(7))

    node_0 = np.tanh(leaf_0 * leaf_1)
    node_1 = np.tanh(leaf_2 + leaf_3)
    node_2 = np.tanh(leaf_4 * leaf_5)
    node_3 = sigmoid(leaf_6 + leaf_7)

    new_memory = np.tanh(node_0 + memory) * node_1
    new_h = np.tanh(new_memory * np.tanh(node_2 + node_3))
    if "projection" in params:
        new_h = new_h @ params["projection"]
    return {"cell": new_memory, "hidden": new_h}, new_h


REFERENCES = {"nas": _nas}
CASES = [
    Case("nas", {}),
    Case("nas", {"use_bias": True}),
    Case("nas", {"projection_size": 3}),
    Case("nas", {"use_bias": True, "projection_size": 3}),
]
