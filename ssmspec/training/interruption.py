"""SIGTERM and Ctrl-C: noted when they come, obeyed once the step is done and saved."""

from __future__ import annotations

import signal
import threading
from types import FrameType, TracebackType
from typing import Any, NoReturn, Self

TERMINATED = 128 + signal.SIGTERM
"""Exit code after SIGTERM, as shells count it: 143."""


SIGNALS = {int(signal.SIGINT): 1, int(signal.SIGTERM): 1 << 20}
"""What a caught signal adds to a sum over processes, from which either can be told again."""


def signal_in(total: int) -> int:
    """The signal that some process caught; SIGTERM where there were both, 0 where none was."""
    caught = [number for number, weight in SIGNALS.items() if total >= weight]
    return max(caught, default=0)


class Interruption:
    """Notes SIGINT and SIGTERM while it is entered; a second one interrupts at once.

    Outside the main thread Python delivers no signals, and nothing is noted.

    Attributes:
        caught: number of the signal; 0 while there was none.
    """

    def __init__(self) -> None:
        self.caught = 0
        self._before: dict[signal.Signals, Any] = {}

    def __enter__(self) -> Self:
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGINT, signal.SIGTERM):
                self._before[number] = signal.signal(number, self._note)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._restore()

    def _note(self, number: int, frame: FrameType | None) -> None:
        del frame
        if self.caught:
            leave(number, "stopped twice; nothing was saved since the last checkpoint")
        self.caught = number

    def _restore(self) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)
        self._before = {}


class Terminated(SystemExit):
    """The process was asked to end; its exit code is 143.

    Attributes:
        message: what was done first.
    """

    def __init__(self, message: str) -> None:
        super().__init__(TERMINATED)
        self.message = message


def leave(number: int, message: str) -> NoReturn:
    """End as the signal asks.

    Raises:
        KeyboardInterrupt: after SIGINT.
        Terminated: after SIGTERM.
    """
    if number == signal.SIGTERM:
        raise Terminated(message)
    raise KeyboardInterrupt(message)
