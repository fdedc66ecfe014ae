"""The recipe of experiments/lstm.py as a user of torch would write it."""

import gzip

import numpy as np
import torch

from benchmarks.clock import Clock
from rnnjax.config import Config
from rnnjax.data.fashion_mnist import DEBIAN_DIR

HEADER = {"images": 16, "labels": 8}  # bytes before the data of an IDX file


class Network(torch.nn.Module):
    def __init__(self, hidden_size: int) -> None:
        super().__init__()
        self.lstm = torch.nn.LSTM(28, hidden_size, batch_first=True)
        self.readout = torch.nn.Linear(hidden_size, 10)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        outputs, _ = self.lstm(images.float() / 255)
        return self.readout(outputs[:, -1])


def read(split: str, what: str) -> np.ndarray:
    name = f"{split}-{what}-idx{3 if what == 'images' else 1}-ubyte.gz"
    return np.frombuffer(
        gzip.decompress((DEBIAN_DIR / name).read_bytes())[HEADER[what] :], np.uint8
    )


def train(num_steps: int, clock: Clock) -> None:
    """Trains, and prints the accuracy on the test images every 100 steps."""
    data = {
        split: (
            torch.tensor(read(split, "images")).reshape(-1, 28, 28),
            torch.tensor(read(split, "labels")).long(),
        )
        for split in ("train", "t10k")
    }
    config = Config()
    torch.manual_seed(config.seed)
    network = Network(config.model.hidden_size)
    optimizer = torch.optim.Adam(network.parameters(), config.optimizer.learning_rate, fused=True)
    images, labels = data["train"]
    order = torch.randperm(len(labels))

    def step(number: int) -> None:
        nonlocal order
        if len(order) < config.batch_size:
            order = torch.cat([order, torch.randperm(len(labels))])
        chosen, order = order[: config.batch_size], order[config.batch_size :]
        optimizer.zero_grad()
        loss = torch.nn.functional.cross_entropy(network(images[chosen]), labels[chosen])
        loss.backward()
        optimizer.step()
        if number % config.log_every_steps == 0:
            loss.item()

    def evaluate(number: int) -> None:
        with torch.no_grad():
            pairs = [part.split(config.eval_batch_size) for part in data["t10k"]]
            right = [(network(x).argmax(1) == y).sum() for x, y in zip(*pairs, strict=True)]
        accuracy = float(sum(right)) / len(data["t10k"][1])
        print(f"torch: step {number}, test accuracy {accuracy:.4f}", flush=True)

    step(1)
    clock.end_start()
    for number in range(2, num_steps + 1):
        with clock.part("steps"):
            step(number)
        if number % config.eval_every_steps == 0:
            with clock.part("evaluation"):
                evaluate(number)
