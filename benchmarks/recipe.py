"""experiments/lstm.py against the same recipe in torch, from the start of the process to its end.

    python -m benchmarks.recipe [--steps 2000] [--repeats 3]

Both train the LSTM of the TensorFlow 1 tutorial on Fashion-MNIST with Adam and evaluate all test
images every 100 steps. rnnjax also writes summaries and checkpoints, torch does not. They
alternate, and a first short run of each, which is not counted, fills the file caches and rnnjax's
cache of compiled programs.
"""

import argparse
import gzip
import multiprocessing
import statistics
import time

import numpy as np

from benchmarks.command import observe
from rnnjax.config import Config
from rnnjax.data.fashion_mnist import DEBIAN_DIR

HEADER = {"images": 16, "labels": 8}  # bytes before the data of an IDX file


def read(split: str, what: str) -> np.ndarray:
    name = f"{split}-{what}-idx{3 if what == 'images' else 1}-ubyte.gz"
    return np.frombuffer(
        gzip.decompress((DEBIAN_DIR / name).read_bytes())[HEADER[what] :], np.uint8
    )


def train_with_torch(num_steps: int) -> None:
    """Trains as a user of torch would, and prints the accuracy on the test images."""
    import torch

    class Network(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.lstm = torch.nn.LSTM(28, 256, batch_first=True)
            self.readout = torch.nn.Linear(256, 10)

        def forward(self, images: torch.Tensor) -> torch.Tensor:
            outputs, _ = self.lstm(images.float() / 255)
            return self.readout(outputs[:, -1])

    data = {
        split: (
            torch.tensor(read(split, "images")).reshape(-1, 28, 28),
            torch.tensor(read(split, "labels")).long(),
        )
        for split in ("train", "t10k")
    }
    config = Config()
    torch.manual_seed(config.seed)
    network = Network()
    optimizer = torch.optim.Adam(network.parameters(), config.optimizer.learning_rate, fused=True)
    images, labels = data["train"]
    order = torch.randperm(len(labels))
    for step in range(1, num_steps + 1):
        if len(order) < config.batch_size:
            order = torch.cat([order, torch.randperm(len(labels))])
        chosen, order = order[: config.batch_size], order[config.batch_size :]
        optimizer.zero_grad()
        loss = torch.nn.functional.cross_entropy(network(images[chosen]), labels[chosen])
        loss.backward()
        optimizer.step()
        if step % config.log_every_steps == 0:
            loss.item()
        if step % config.eval_every_steps == 0:
            with torch.no_grad():
                pairs = [part.split(config.eval_batch_size) for part in data["t10k"]]
                right = [(network(x).argmax(1) == y).sum() for x, y in zip(*pairs, strict=True)]
            accuracy = float(sum(right)) / len(data["t10k"][1])
            print(f"torch: step {step}, test accuracy {accuracy:.4f}", flush=True)


def torch_seconds(num_steps: int) -> float:
    context = multiprocessing.get_context("spawn")
    start = time.monotonic()
    process = context.Process(target=train_with_torch, args=(num_steps,))
    process.start()
    process.join()
    if process.exitcode:
        raise RuntimeError(f"torch ended with {process.exitcode}")
    return time.monotonic() - start


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=2_000)
    parser.add_argument("--repeats", type=int, default=3)
    options = parser.parse_args()

    def rnnjax_seconds(num_steps: int) -> float:
        return observe(f"--config.num_steps={num_steps}").seconds

    rnnjax_seconds(100)
    torch_seconds(100)
    pairs = []
    for _ in range(options.repeats):
        pairs.append((rnnjax_seconds(options.steps), torch_seconds(options.steps)))
        print(f"rnnjax {pairs[-1][0]:.1f} s, torch {pairs[-1][1]:.1f} s", flush=True)
    ratios = [ours / theirs for ours, theirs in pairs]
    print(f"ratio {statistics.median(ratios):.3f} ({min(ratios):.3f}-{max(ratios):.3f})")


if __name__ == "__main__":
    main()
