"""A signal counts once it is polled."""

import os
import signal
import threading

import pytest

from rnnjax.system.signals import StopRequest


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_counts_once_it_is_polled(number: signal.Signals) -> None:
    assert threading.current_thread() is threading.main_thread()  # Python delivers signals there
    before = signal.getsignal(number)
    with StopRequest(agree=lambda received: received) as stop:
        assert not stop.poll()
        os.kill(os.getpid(), number)
        assert not stop.requested
        assert stop.poll()
        assert stop.requested
        assert stop.signal == number
    assert signal.getsignal(number) == before


def test_all_processes_stop_at_the_signal_of_one() -> None:
    asked: list[int] = []

    def agree(received: int) -> int:
        asked.append(received)
        return signal.SIGTERM if len(asked) == 2 else 0

    with StopRequest(agree) as stop:
        assert [stop.poll(), stop.poll(), stop.poll()] == [False, True, True]
        assert stop.signal == signal.SIGTERM
    assert asked == [0, 0]  # once agreed, nobody asks again
