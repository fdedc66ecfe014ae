"""Recurrent networks in JAX: pure cells, unrolled with `jax.lax.scan`, trained with `jax.pmap`.

`rnnjax.LSTMCell`, `rnnjax.unroll`, `rnnjax.train`: every public name of `rnnjax.cells` and
`rnnjax.recurrent` is here too, and so are `Config` and `train`. Each is imported when it is first
used, so that `import rnnjax` loads no JAX and the commands answer `--help` at once.
"""

import importlib
import importlib.util
from typing import TYPE_CHECKING

__version__ = "0.1.0"

_LIBRARY = ("rnnjax.cells", "rnnjax.recurrent")
_SUBMODULES = ("cells", "interop", "recurrent")
_MODULE_OF = {"Config": "rnnjax.config", "train": "rnnjax.training.train"}

if TYPE_CHECKING:  # the same names for type checkers, which would take `__getattr__` for all others
    from rnnjax import cells as cells
    from rnnjax import interop as interop
    from rnnjax import recurrent as recurrent
    from rnnjax.cells import *  # noqa: F403 -- all of its `__all__`
    from rnnjax.config import Config as Config
    from rnnjax.recurrent import *  # noqa: F403 -- all of its `__all__`
    from rnnjax.training.train import train as train
else:

    def __getattr__(name: str) -> object:
        """Imports a public name when it is first used (PEP 562)."""
        if name == "__all__":
            return _public_names()
        if name in _MODULE_OF:
            value = getattr(importlib.import_module(_MODULE_OF[name]), name)
        # `from rnnjax import config` asks here first, before Python looks for a submodule.
        elif importlib.util.find_spec(f"rnnjax.{name}") is not None:
            value = importlib.import_module(f"rnnjax.{name}")
        elif not name.startswith("_") and name in _public_names():
            holders = map(importlib.import_module, _LIBRARY)
            value = next(getattr(module, name) for module in holders if name in module.__all__)
        else:
            raise AttributeError(f"module 'rnnjax' has no attribute {name!r}")
        globals()[name] = value  # the next use does not come here
        return value

    def __dir__() -> list[str]:
        return sorted({*globals(), *_public_names()})


def _public_names() -> list[str]:
    library = [importlib.import_module(module).__all__ for module in _LIBRARY]
    return sorted({"__version__", *_SUBMODULES, *_MODULE_OF, *library[0], *library[1]})
