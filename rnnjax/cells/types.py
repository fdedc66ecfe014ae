"""Names for what has no one type: trees whose structure each cell decides for itself."""

from typing import Any, TypeAlias

Carry: TypeAlias = Any  # a cell's carry: any tree of arrays [..., H]; here NamedTuples
Params: TypeAlias = Any  # a cell's parameters: a NamedTuple of arrays
Products: TypeAlias = Any  # a cell's products, declared or computed: one, or a NamedTuple of them
Value: TypeAlias = Any  # one of them: a `Product`; once computed, an array or a tuple of gates
KeyPath: TypeAlias = tuple[Any, ...]  # of a leaf in a tree, as `jax.tree_util` has it
