"""The same in torch, whose GPUs run cuDNN. A process that loads this has JAX on the CPU alone.

Both bring a cuDNN of their own, and the one that is loaded first serves both, or neither.
"""

from typing import Any

import jax
import numpy as np
import torch

from benchmarks.gpu.programs import LEARNING_RATE, NotThereError, Program, draw_params
from benchmarks.networks import Problem, ours
from benchmarks.torch_networks import RECURRENT, Classifier
from rnnjax import interop


def of_torch(problem: Problem, device: str, dtype: Any = np.float32) -> Program:
    """A program of torch, with our weights.

    Args:
      problem: with its sizes.
      device: "cuda" or "cpu".
      dtype: of all weights and inputs, float32 or bfloat16.
    """
    if problem.cell not in RECURRENT:
        raise NotThereError(f"torch has no {problem.cell}")
    if device == "cuda" and not torch.cuda.is_available():
        raise NotThereError(f"torch {torch.__version__} finds no GPU")
    of_type = getattr(torch, np.dtype(dtype).name)
    # One for steps, and one that they do not change.
    classifier, start = (_with_our_weights(problem).to(device, of_type) for _ in range(2))
    inputs = torch.tensor(problem.inputs(), device=device).to(classifier.readout.weight.dtype)
    labels = torch.tensor(problem.labels(), device=device)
    optimizer = torch.optim.SGD(classifier.parameters(), LEARNING_RATE)

    def forward() -> torch.Tensor:
        with torch.no_grad():
            return start(inputs)

    def step() -> torch.Tensor:
        optimizer.zero_grad()
        loss = torch.nn.functional.cross_entropy(classifier(inputs), labels)
        loss.backward()
        optimizer.step()
        return loss

    def wait(_: Any) -> None:
        if device == "cuda":
            torch.cuda.synchronize()

    return Program({"forward": forward, "step": step}, wait, planned_mib=None)


def _with_our_weights(problem: Problem) -> Classifier:
    params = draw_params(problem)
    model, _ = ours(problem, "scan")
    arrays = interop.torch.save(model, jax.tree.map(np.asarray, params["network"]))
    classifier = Classifier(problem)
    classifier.recurrent.load_state_dict({n: torch.tensor(a) for n, a in arrays.items()})
    readout = {"weight": params["readout"]["kernel"].T, "bias": params["readout"]["bias"]}
    classifier.readout.load_state_dict({n: torch.tensor(a) for n, a in readout.items()})
    return classifier


def peak_mib() -> float | None:
    """The most memory of a GPU that torch's tensors have taken so far."""
    return torch.cuda.max_memory_allocated() / 2**20 if torch.cuda.is_available() else None


def facts() -> dict[str, str | int | None]:
    """What this torch is."""
    return {
        "torch": torch.__version__,
        "torch's CUDA": torch.version.cuda,
        "torch's cuDNN": torch.backends.cudnn.version(),
    }
