"""``SpikingModel``: an ``nn.Module`` that executes a program batched, on CPU or GPU."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from math import prod
from os import PathLike
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from ecmt_deploy.config import MEMORY_BYTES, Execution, require_timesteps
from ecmt_deploy.door import ProgramLike, as_program
from ecmt_deploy.engine import compensation, elementwise, neuron, synapses, wiring  # noqa: F401 - what they register
from ecmt_deploy.engine.base import as_tensor, torch_op
from ecmt_deploy.engine.context import RunContext
from ecmt_deploy.engine.firing import require_compiler
from ecmt_deploy.engine.fusion import fuse
from ecmt_deploy.engine.memory import keep_freed_memory
from ecmt_deploy.engine.neuron import Neuron
from ecmt_deploy.engine.signal import Chunk, Signal
from ecmt_deploy.errors import ConfigError, DataError
from ecmt_deploy.program import Program
from ecmt_deploy.program.activity import Activity
from ecmt_deploy.program.graph import named_parameters

#: called with a node's name and its operand values (B, ...)
Observer = Callable[[str, Tensor], None]
#: arrays of the size of its largest stream that a node works with besides its operands and its result
WORKING_COPIES = 4


class SpikingModel(nn.Module):
    """A spiking program as a torch module.

    Parameters
    ----------
    program : a float program; its parameters become buffers, so ``to(device)``, ``double()`` work as on any module
    """

    ops: Any
    _like: Tensor

    def __init__(self, program: Program) -> None:
        super().__init__()
        if program.integer:
            raise ConfigError(
                "the torch engine runs float programs only; run an integer program with simulate --precision fixed"
            )
        self.program = program
        self.ops = nn.ModuleList(torch_op(program, name) for name in program.nodes)
        self.register_buffer("_like", torch.zeros(0, dtype=getattr(torch, program.dtype.name)), persistent=False)
        self._last_use = self._last_uses()
        self._op = dict(zip(program.nodes, self.ops, strict=True))
        fuse(program, self._op)
        self._most_alive = self._alive()
        self._finite = {name: program.must_be_finite(name) for name in program.nodes}
        self.memory_bytes = MEMORY_BYTES
        self.eval()

    def __repr__(self) -> str:
        return f"SpikingModel({self.program.summary}, on {self.device})"

    @property
    def device(self) -> torch.device:
        """Where it runs."""
        return self._like.device

    @property
    def dtype(self) -> torch.dtype:
        """What it computes in."""
        return self._like.dtype

    def use(self, execution: Execution) -> None:
        """Run as ``execution`` says, on the device where it is; this process then keeps memory that it frees.

        Raises
        ------
        ConfigError
            if levels of its neurons are too many to be told apart in bfloat16, or kernels cannot be made.
        """
        keep_freed_memory()
        if execution.dtype is not None:
            dtype = getattr(torch, execution.dtype)
            digits = 1 - round(math.log2(torch.finfo(dtype).eps))
            wide = {
                name: span
                for name in self.program.neurons
                if (span := int(self.program.nodes[name].levels) - int(self.program.nodes[name].lowest_level.min())) > digits
            }
            if wide:
                name, span = max(wide.items(), key=lambda item: item[1])
                raise ConfigError(
                    f"{execution.dtype} tells {digits} levels apart, and {len(wide)} neuron nodes have more ({name}: {span});"
                    f" use --dtype float32, or convert with --levels {digits}"
                )
            self.to(dtype)
        self.memory_bytes = execution.memory_bytes
        if execution.compiled:
            self.compile_neurons()

    def _last_uses(self) -> dict[str, list[str]]:
        """For every node, the streams that nobody needs after it."""
        last = {source: name for name, sources in self.program.operands.items() for source in sources}
        freed: dict[str, list[str]] = {name: [] for name in self.program.nodes}
        for source, name in last.items():
            freed[name].append(source)
        return freed

    def compile_neurons(self) -> None:
        """Run neurons as fused kernels, which ``torch.compile`` makes for each shape of operand when it first comes.

        The arithmetic is the same, operation by operation.

        Raises
        ------
        ConfigError
            if there is no C++ compiler for a model on a CPU.
        """
        require_compiler(self.device)
        for op in self.ops:
            if isinstance(op, Neuron):
                op.fused = True

    @torch.no_grad()
    def forward(self, x: Tensor, timesteps: int | None = None) -> Tensor:
        """Run a batch.

        Parameters
        ----------
        x : (B, *input_shape)
        timesteps : steps T, by default those the program was converted for

        Returns
        -------
        (T, B, classes) : the readout after every step

        Raises
        ------
        ConfigError
            if ``timesteps`` is below 1.
        DataError
            if ``x`` does not have the program's input shape.
        """
        return self._run(x, self.program.timesteps if timesteps is None else timesteps, self._context())

    @torch.no_grad()
    def analog(self, x: Tensor, observe: Observer | None = None) -> Tensor:
        """Outputs (B, classes) with neurons as identity: those of the original model.

        ``observe`` is called with the name and the input (B, ...) of every neuron.
        """
        return self._run(x, 1, self._context(identity=True), observe=observe)[0]

    @torch.no_grad()
    def alone(self, name: str, x: Tensor, timesteps: int) -> tuple[Tensor, Tensor]:
        """Run with one neuron node spiking and all others as identity, which takes little longer than one step.

        Returns
        -------
        the readout after the last step (B, classes), and what that neuron has not sent by then (B, ...)
        """
        run = self._context(identity=True, spiking=name)
        outputs = self._run(x, timesteps, run)
        assert run.membrane is not None
        return outputs[-1], run.membrane

    def backward(
        self, x: Tensor, generator: torch.Generator, observe: Observer | None = None, trace: Observer | None = None
    ) -> None:
        """As :meth:`analog`, then the gradients of a random combination of the outputs, coefficients +-1, sample by sample.

        ``observe`` sees the input of every neuron, ``trace`` the stream of every node; what of it has ``retain_grad()`` called
        holds its gradient afterwards.
        """
        with torch.enable_grad():
            readout = self._run(
                x.clone().detach().requires_grad_(), 1, self._context(identity=True), observe=observe, trace=trace
            )[0]
            signs = torch.randint(0, 2, readout.shape, generator=generator).to(readout) * 2 - 1
            (readout * signs).sum().backward()

    @torch.no_grad()
    def trace(self, x: Tensor, observe: Observer) -> None:
        """Run the analog program and call ``observe`` with the name and the stream (B, ...) of every node."""
        self._run(x, 1, self._context(identity=True), trace=observe)

    @torch.no_grad()
    def watch(self, x: Tensor, timesteps: int, observe: Observer) -> Tensor:
        """As :meth:`forward`; ``observe`` is called with the name and the stream (B, ...) of every node, step after step."""
        return self._run(x, timesteps, self._context(), trace=observe)

    def _context(self, identity: bool = False, spiking: str | None = None) -> RunContext:
        return RunContext(self.program.nodes, identity, spiking)

    @torch.no_grad()
    def count(self, x: Tensor, timesteps: int, samples: int | None = None) -> tuple[Tensor, Activity]:
        """Run a batch and count; only the first ``samples`` are counted (the rest are filler that fixes the batch shape).

        Returns
        -------
        outputs (T, B, classes), activity
        """
        samples = len(x) if samples is None else samples
        run = self._context()
        outputs = self._run(x, timesteps, run, counted=samples)
        return outputs, Activity(samples, timesteps, run.counts())

    def _run(
        self,
        x: Tensor,
        timesteps: int,
        run: RunContext,
        observe: Observer | None = None,
        counted: int | None = None,
        trace: Observer | None = None,
    ) -> Tensor:
        require_timesteps(timesteps)
        if tuple(x.shape[1:]) != self.program.input_shape or x.ndim == 0:
            raise DataError(f"input of shape {tuple(x.shape)}; the program expects (batch, *{self.program.input_shape})")
        # levels are compared in float32 where the streams have fewer digits
        self.program.require_range(np.dtype("float64" if self.dtype == torch.float64 else "float32"))
        x = x.to(self._like)
        watched = observe is not None or trace is not None
        whole = watched or run.spiking is not None  # who looks on sees the batch as it was given
        samples, steps = (len(x), timesteps) if whole else self.plan(len(x), timesteps)
        parts = []
        for begin in range(0, len(x), max(samples, 1)):
            part = x[begin : begin + samples]
            run.begin()
            counting = None if counted is None else min(max(counted - begin, 0), len(part))
            readouts = []
            for start in range(1, timesteps + 1, steps):
                length = min(steps, timesteps + 1 - start)
                chunk = Chunk(run, start, length, len(part), start + length > timesteps, counting, watched)
                readouts.append(self._chunk(chunk, part, observe, trace))
            parts.append(torch.cat(readouts))
        return torch.cat(parts, dim=1) if parts else x.new_zeros(timesteps, 0, *self.program.output_shape)

    def _chunk(self, chunk: Chunk, x: Tensor, observe: Observer | None, trace: Observer | None) -> Tensor:
        """The readouts (steps, B, classes) of a chunk; node after node, all its steps at once."""
        signals: dict[str, Signal] = {}
        events: dict[str, Signal] = {}
        uncounted: list[str] = []
        image = Signal(x[None], steady=True)
        for name, op in self._op.items():
            sources = self.program.operands[name]
            operands = [signals[source] for source in sources] if sources or op.node.role != "input" else [image]
            for source in self._finite[name]:
                chunk.run.watch_range(name, signals[source].value)
            if observe and isinstance(op, Neuron):
                operands[0] = _show(chunk, name, operands[0], observe)
            signals[name] = op(chunk, *operands)
            if chunk.samples is not None:
                events[name] = signals[name].without_value()
                uncounted.append(name)
                if any(signal.spikes is not None for signal in (signals[name], *operands)):  # too large to be kept for long
                    self._count(chunk, uncounted, events)
            if trace:
                signals[name] = _show(chunk, name, signals[name], trace)
            for finished in self._last_use[name]:
                del signals[finished]
        self._count(chunk, uncounted, events)
        chunk.run.require_finite()
        return signals[self.program.output_name].each(chunk)

    def _count(self, chunk: Chunk, uncounted: list[str], events: dict[str, Signal]) -> None:
        """Count what nodes did: of many in a row, for between matrix products all code and data have left the cache."""
        for name in uncounted:
            operands = [events[source] for source in self.program.operands[name]]
            events[name] = self._op[name].tallied(chunk, events[name], *operands)
            for finished in self._last_use[name]:
                del events[finished]
        uncounted.clear()
        chunk.run.sum_counts()

    def plan(self, batch: int, timesteps: int) -> tuple[int, int]:
        """Samples and time steps that are computed at once, so that the streams alive fit into :attr:`memory_bytes`.

        Samples first: a divisor of the batch, for floats can differ with the batch they are computed in; then steps.
        """
        room = max(self.memory_bytes // (self._most_alive * self._like.element_size()), 1)  # samples x steps
        if room >= batch * timesteps:
            return batch, timesteps
        fitting = [size for size in range(1, batch + 1) if batch % size == 0 and size * timesteps <= room]
        return (max(fitting), timesteps) if fitting else (1, min(room, timesteps))

    def _alive(self) -> int:
        """Most elements of one sample and step that are alive at once: streams still needed, and what a node works with."""
        alive, most = 0, 1
        shapes = self.program.shapes
        for name, sources in self.program.operands.items():
            own = prod(shapes[name])
            work = WORKING_COPIES * max([own, *(prod(shapes[source]) for source in sources)])
            most = max(most, alive + own + work)
            alive += own - sum(prod(shapes[finished]) for finished in self._last_use[name])
        return most

    def _save_to_state_dict(self, destination: dict[str, Any], prefix: str, keep_vars: bool) -> None:
        """Parameters of the program as ``NODE.FIELD``; floating ones as the model holds them: its dtype, its device."""
        for name, node in self.program.nodes.items():
            for field, array in named_parameters(node).items():
                dtype = self.dtype if array.dtype.kind == "f" else None
                destination[f"{prefix}{name}.{field}"] = as_tensor(array).to(self.device, dtype)

    def _load_from_state_dict(
        self, state_dict: Mapping[str, Any], prefix: str, local_metadata: Any, strict: bool,
        missing_keys: list[str], unexpected_keys: list[str], error_msgs: list[str],
    ) -> None:  # fmt: skip
        """The program is what runs and what is saved, so no other parameters come in here."""
        own: dict[str, Any] = {}
        self._save_to_state_dict(own, prefix, False)
        missing_keys.extend(key for key in own if key not in state_dict)
        unexpected_keys.extend(key for key in state_dict if key.startswith(prefix) and key not in own)
        other = [key for key in own if key in state_dict and not torch.equal(own[key], state_dict[key].to(own[key]))]
        if other:
            error_msgs.append(
                f"{other[0]} and {len(other) - 1} more are of another program; convert the model anew, or load its file"
            )

    def save(self, path: str | PathLike[str]) -> None:
        """Write the program to ``path`` (atomic); it alone is enough to run."""
        from ecmt_deploy.program.writer import write

        write(self.program, path)


def _show(chunk: Chunk, name: str, signal: Signal, observer: Observer) -> Signal:
    """Let an observer see every step of a stream; what it marked for gradients is what is computed on."""
    steps = signal.increments(chunk).unbind(0)
    for value in steps:
        observer(name, value)
    return signal._replace(value=steps[0][None], spikes=None) if chunk.steps == 1 and signal.spikes is None else signal


def load(program: ProgramLike) -> SpikingModel:
    """The model of a program, which is read from a file or taken from a ``Program`` or ``Run``; a model is returned as it is.

    The outputs of a program from a file are bit-identical to those of the model that was saved.

    Raises
    ------
    ProgramError
        if the file is missing, damaged or breaks a rule of the dialect.
    ConfigError
        if it is an integer program, or no program.
    """
    return program if isinstance(program, SpikingModel) else SpikingModel(as_program(program))
