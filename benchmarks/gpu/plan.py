"""What is measured, in which order, for how long at most, and which process does it."""

from typing import Any, NamedTuple

from benchmarks.gpu.programs import CUDNN, FLAX, OURS, TORCH, peers

SIZES: dict[str, tuple[tuple[int, ...], ...]] = {  # H, B, T, F
    "gpu": ((256, 128, 28, 28), (128, 64, 784, 1), (1024, 128, 100, 128), (256, 32, 4096, 32)),
    "small": ((16, 16, 8, 4),),
    "tiny": ((16, 16, 4, 4),),
}
CHECKED_AT = {"gpu": (128, 32, 48, 28), "small": (16, 16, 6, 4), "tiny": (16, 16, 4, 4)}

# What matters most comes first: it is the last ones that the time may not be enough for. Of what is
# timed, that is the last sizes, of all networks alike.
KINDS = ("lstm", "gru", "rnn", "min_gru", "lstm_2_layers", "bilstm", "lru")
CELLS = ("lstm", "gru", "rnn", "min_gru", "lru")
# What an implementation could be; those that are not there are said to be so.
CONCEIVED = ("scan", "deferred", "cudnn", "fused", "associative", "newton")

# Seconds that each part has at most, with what those before it have left; by its processes, in
# which JAX has the GPU or torch has.
SECONDS = {
    ("correctness", "jax"): 120,
    ("speed", "jax"): 110,
    ("seeds", "jax"): 25,
    ("dispatch", "jax"): 25,
    ("bf16", "jax"): 25,
    ("correctness", "torch"): 15,
    ("speed", "torch"): 25,
    ("bf16", "torch"): 5,
    ("repeatability", "jax"): 60,
    ("memory", "jax"): 55,
}
# At most for a case, from its beginning: a compiler or a kernel may never end.
CASE_SECONDS = 45
PARTS = (*dict.fromkeys(part for part, _ in SECONDS),)


class Case(NamedTuple):
    part: str
    process: str  # consecutive cases with the same name have one process
    arguments: dict[str, Any]  # of the part's function
    stage: tuple[str, str]  # a key of `SECONDS`


def make_plan(scale: str, torch: str | None) -> list[Case]:
    """Returns all cases, in order.

    Args:
      scale: a key of `SIZES`.
      torch: a key of `TORCH`; None: there is none.
    """
    cases = [_case(part, "jax", **arguments) for part, arguments in _in_jax(scale)]
    if torch is not None:
        cases += [_case(part, "torch", **arguments) for part, arguments in _in_torch(scale, torch)]
    few, kinds, names = scale == "tiny", _largest(scale), _further(scale)
    for process in ("deterministic 1", "deterministic 2", "default"):
        for kind in kinds if few else (*kinds, "min_gru"):
            arguments = {"kind": kind, "size": SIZES[scale][0], "contenders": names}
            cases.append(_case("repeatability", process, process=process, **arguments))
    for name in names if few else (*names, FLAX, CUDNN, *filter(None, [torch])):
        process = "memory, torch" if name in TORCH else f"memory, {name}"
        arguments = {"kind": "lstm", "size": SIZES[scale][-1], "contender": name}
        cases.append(_case("memory", process, **arguments))
    return cases


def _case(part: str, name: str, **arguments: Any) -> Case:
    return Case(part, name, arguments, (part, "torch" if name == "torch" else "jax"))


def _in_jax(scale: str) -> list[tuple[str, dict[str, Any]]]:
    sizes, kinds = SIZES[scale], _kinds(scale)
    checked = CHECKED_AT[scale]
    implementations = dict.fromkeys((*CONCEIVED, *OURS))
    cases = [
        ("correctness", {"kind": kind, "size": checked, "contender": name})
        for kind in CELLS
        if kind in kinds
        for name in implementations
    ]
    cases += [
        ("correctness", {"kind": kind, "size": checked, "contender": name})
        for kind in kinds
        for name in peers(kind)
    ]
    cases += [
        ("speed", {"kind": kind, "size": size, "contenders": [*OURS, *peers(kind)]})
        for size in sizes
        for kind in kinds
    ]
    for part, at in (("seeds", sizes[:1]), ("dispatch", sizes[:1]), ("bf16", sizes[::2])):
        cases += [
            (part, {"kind": kind, "size": size, "contenders": _further(scale)})
            for size in at
            for kind in _largest(scale)
        ]
    return cases


def _in_torch(scale: str, name: str) -> list[tuple[str, dict[str, Any]]]:
    kinds = [kind for kind in _kinds(scale) if FLAX in peers(kind)]  # which torch has as well
    sizes = SIZES[scale]
    cases = [
        ("correctness", {"kind": kind, "size": CHECKED_AT[scale], "contender": name})
        for kind in kinds
    ]
    cases += [
        ("speed", {"kind": kind, "size": size, "contenders": [name]})
        for size in sizes
        for kind in kinds
    ]
    cases += [
        ("bf16", {"kind": kind, "size": size, "contenders": [name]})
        for size in sizes[::2]
        for kind in _largest(scale)
    ]
    return cases


def _largest(scale: str) -> tuple[str, ...]:
    """Returns the cells of which more is asked than how fast they are."""
    return ("lstm",) if scale == "tiny" else ("lstm", "gru")


def _further(scale: str) -> list[str]:
    """Returns the implementations of which more is asked."""
    return [*OURS[:1]] if scale == "tiny" else [*OURS]


def _kinds(scale: str) -> tuple[str, ...]:
    return ("lstm", "lru") if scale == "tiny" else KINDS
