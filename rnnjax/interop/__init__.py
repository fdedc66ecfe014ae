"""Weights from and for other frameworks, none of which is needed for it.

`torch`, `keras`, `linen` and `tf1` each have `load(model, arrays) -> params` and
`save(model, params) -> arrays`: pure functions between trees of arrays. The model, one of our
modules, says the structure; loading can be traced, so that gradients go through it.
"""

from rnnjax.interop import keras, linen, tf1, torch

__all__ = ["keras", "linen", "tf1", "torch"]
