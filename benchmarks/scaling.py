"""Training steps on a CPU, over devices, processes and cores, against one device on all cores.

    python -m benchmarks.scaling [--hidden 256] [--batch 128] [--sequence rows] [--devices 1,2,4]
                                 [--processes 2,4] [--cores 1] [--api pmap] [--rounds 7]

Each topology has processes of its own, set up as `rnnjax.main` does, and they take turns: bare
steps of an LSTM on one batch of images, which all devices share. All processes live at once, and an
accelerator has place for one: so devices are host devices, one for each of `--processes`. Printed
are images a second, the ratios of a step's time to that of one device, round by round (median,
least, greatest), and the collectives of one step, in the program that XLA has compiled.
"""

import argparse
import multiprocessing
import os
import re
import socket
import statistics
from collections import Counter
from contextlib import ExitStack
from multiprocessing.connection import Connection
from typing import NamedTuple

from rnnjax.config import Config

COLLECTIVE = r"(all-reduce|all-gather|all-to-all|reduce-scatter|collective-[a-z-]+?)(?:-start)?\("
TURN = 1.0  # seconds at least that a topology has in a round


class Topology(NamedTuple):
    processes: int
    devices: int  # in all of them
    cores: int  # that a process may use; 0: all

    def __str__(self) -> str:
        cores = f" on {_plural(self.cores, 'core')}" if self.cores else ""
        of = f" of {self.processes} processes" if self.processes > 1 else ""
        return _plural(self.devices, "device") + of + cores


def serve(topology: Topology, cluster: str, config: Config, pipe: Connection) -> None:
    """Takes as many steps as it is told, as one process of a topology."""
    share = topology.devices // topology.processes
    os.environ.update(JAX_PLATFORMS="cpu", TF_CPP_MIN_LOG_LEVEL="3", JAX_NUM_CPU_DEVICES=str(share))
    if topology.cores:
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[: topology.cores])
    from rnnjax.system.process import tune

    tune()
    import jax

    from benchmarks.bare import BareStep
    from rnnjax import __version__
    from rnnjax.system import distributed

    if topology.processes > 1:
        distributed.initialize(cluster, __version__)
    config.parallel.devices = topology.devices
    step = BareStep(config)
    pipe.send((config.batch_size, Counter(re.findall(COLLECTIVE, step.program()))))
    while (num_steps := pipe.recv()) is not None:
        pipe.send(step.seconds(num_steps))
    if topology.processes > 1:
        jax.distributed.shutdown()


class Seats:
    """The processes of a topology."""

    def __init__(self, topology: Topology, config: Config, stack: ExitStack) -> None:
        context = multiprocessing.get_context("spawn")
        with socket.create_server(("localhost", 0)) as free:
            port = free.getsockname()[1]
        self._pipes = []
        for index in range(topology.processes):
            ours, theirs = context.Pipe()
            cluster = f"localhost:{port},{topology.processes},{index}"
            arguments = (topology, cluster, config, theirs)
            process = context.Process(target=serve, args=arguments, daemon=True)
            process.start()
            theirs.close()
            stack.callback(process.join)
            self._pipes.append(ours)
        for pipe in self._pipes:  # all before a join: they end together
            stack.callback(pipe.send, None)
        of_processes = [pipe.recv() for pipe in self._pipes]
        self.batch_size, self.collectives = of_processes[0]
        self.num_steps = max(1, round(TURN / self.seconds(3)))

    def seconds(self, num_steps: int) -> float:
        """Returns what a step took, of so many."""
        for pipe in self._pipes:
            pipe.send(num_steps)
        return max(pipe.recv() for pipe in self._pipes)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--hidden", type=int, default=256)
    parser.add_argument("--batch", type=int, default=128)
    parser.add_argument("--sequence", choices=("rows", "pixels"), default="rows")
    parser.add_argument("--devices", type=_numbers, default=[1, 2, 4])
    parser.add_argument("--processes", type=_numbers, default=[2, 4])
    parser.add_argument("--cores", type=_numbers, default=[1])
    parser.add_argument("--api", choices=("pmap", "jit"), default="pmap")
    parser.add_argument("--rounds", type=int, default=7)
    options = parser.parse_args()
    if uneven := [n for n in options.devices + options.processes if options.batch % n]:
        parser.error(f"--batch: {options.batch} examples cannot be shared by {uneven[0]} devices")
    there = len(os.sched_getaffinity(0))
    if max(options.cores, default=0) > there:
        parser.error(f"--cores: {max(options.cores)} are asked for, and there are {there}")
    config = Config(batch_size=options.batch)
    config.model.hidden_size, config.data.sequence = options.hidden, options.sequence
    config.parallel.api = options.api
    topologies = [Topology(1, devices, 0) for devices in {1: None} | dict.fromkeys(options.devices)]
    topologies += [Topology(processes, processes, 0) for processes in options.processes]
    topologies += [Topology(1, 1, cores) for cores in options.cores]
    with ExitStack() as stack:
        seats = {of: Seats(of, config, stack) for of in topologies}
        times: dict[Topology, list[float]] = {of: [] for of in seats}
        for _ in range(options.rounds):
            for topology, of in seats.items():
                times[topology].append(of.seconds(of.num_steps))
        print("| | images a second | step, ratio to one device | collectives |\n|---|---|---|---|")
        for topology, of in seats.items():
            ratios = [a / b for a, b in zip(times[topology], times[topologies[0]], strict=True)]
            ratio = f"{statistics.median(ratios):.2f} ({min(ratios):.2f}-{max(ratios):.2f})"
            speed = of.batch_size / statistics.median(times[topology])
            counts = ", ".join(_plural(n, kind) for kind, n in of.collectives.items()) or "none"
            print(f"| {topology} | {speed:,.0f} | {ratio} | {counts} |")


def _numbers(text: str) -> list[int]:
    numbers = [int(number) for number in text.split(",") if number]
    if any(number < 1 for number in numbers):
        raise argparse.ArgumentTypeError(f"{text} has a number that is not positive")
    return numbers


def _plural(number: int, noun: str) -> str:
    return f"{number} {noun}{'s' if number > 1 else ''}"


if __name__ == "__main__":
    main()
