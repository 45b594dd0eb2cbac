"""Channels of the network without threads.

Lava's ports have a thread at either end of every channel, so that a selector can wait for several at once. Here only the
runtime and its service select; on all other ports the one that sends or receives waits itself, which spares two switches
between threads a message.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from lava.magma.compiler.channels.pypychannel import CspRecvPort, CspSendPort, PyPyChannel

#: beginnings of the names of ports on which someone selects
_SELECTED = ("runtime_to_service", "service_to_runtime")


def _slots(port: Any) -> list[np.ndarray]:
    size = port._nbytes
    return [np.ndarray(port._shape, port._dtype, buffer=port._shm.buf[size * i : size * (i + 1)]) for i in range(port._size)]


class SendPort(CspSendPort):
    """Waits for a free slot itself."""

    _idx: int

    def start(self) -> None:
        """All slots are free."""
        self._array, self._free = _slots(self), self._size

    def probe(self) -> bool:
        """Whether a message can be sent at once."""
        return self._free > 0 or not self._ack._semlock._is_zero()

    def send(self, data: np.ndarray) -> None:
        """Send a message; waits while the channel is full."""
        if self._free:
            self._free -= 1
        else:
            self._ack.acquire()
        self._array[self._idx][:] = data
        self._idx = (self._idx + 1) % self._size
        self._req.release()


class RecvPort(CspRecvPort):
    """Waits for a message itself."""

    _idx: int

    def start(self) -> None:
        """Nothing has come yet."""
        self._array = _slots(self)

    def probe(self) -> bool:
        """Whether a message is there."""
        return not self._req._semlock._is_zero()

    def recv(self) -> np.ndarray:
        """The next message; waits while there is none."""
        self._req.acquire()
        result = self._array[self._idx].copy()
        self._idx = (self._idx + 1) % self._size
        self._ack.release()
        return result


class Channel(PyPyChannel):
    """Lava's channel with these ports."""

    def __init__(self, *arguments: Any, **keywords: Any) -> None:
        super().__init__(*arguments, **keywords)
        self._src_port.__class__ = SendPort
        if not self._dst_port.name.startswith(_SELECTED):
            self._dst_port.__class__ = RecvPort
