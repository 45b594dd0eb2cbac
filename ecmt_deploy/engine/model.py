"""``SpikingModel``: an ``nn.Module`` that executes a program batched, on CPU or GPU."""

from __future__ import annotations

import math
from collections.abc import Mapping
from os import PathLike
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from ecmt_deploy.config import MEMORY_BYTES, Execution, require_timesteps
from ecmt_deploy.door import ProgramLike, as_program
from ecmt_deploy.engine.base import as_tensor, torch_op
from ecmt_deploy.engine.context import Observer, Passing, RunContext
from ecmt_deploy.engine.firing import require_compiler
from ecmt_deploy.engine.memory import keep_freed_memory
from ecmt_deploy.engine.plan import Plan
from ecmt_deploy.engine.presenting import NO_KERNELS, OWN_WIDTHS, WITHOUT_ANALOG, Samples, packed, presented, readable
from ecmt_deploy.engine.running import Runner
from ecmt_deploy.engine.streaming import KEPT_FRAMES, Stream
from ecmt_deploy.errors import ConfigError
from ecmt_deploy.program import Program, write
from ecmt_deploy.program.activity import Activity
from ecmt_deploy.program.frames import activity_of
from ecmt_deploy.program.graph import named_parameters
from ecmt_deploy.shown import Tabular


class SpikingModel(Tabular, nn.Module):
    """A spiking program as a torch module.

    Parameters
    ----------
    program : its parameters become buffers, so ``to(device)``, ``double()`` work as on any module; an integer program computes
        in the widths that it declares, whose dtype nobody changes, and has no analog network
    """

    ops: Any
    _like: Tensor

    def __init__(self, program: Program) -> None:
        super().__init__()
        self.program = program
        self.ops = nn.ModuleList(torch_op(program, name) for name in program.nodes)
        # samples and readouts of an integer program are float64, which holds them exactly
        own = torch.float64 if program.integer else getattr(torch, program.dtype.name)
        self.register_buffer("_like", torch.zeros(0, dtype=own), persistent=False)
        by_name = dict(zip(program.nodes, self.ops, strict=True))
        self.plan = Plan(program, by_name)
        self.runner = Runner(program, by_name)
        self._compiled = False
        self.memory_bytes = MEMORY_BYTES
        self.eval()

    def __repr__(self) -> str:
        return f"SpikingModel({self.program.summary}, on {self.device})"

    @property
    def device(self) -> torch.device:
        """Where it runs."""
        return self._like.device

    @property
    def like(self) -> Tensor:
        """A tensor of its dtype, where it is."""
        return self._like

    @property
    def dtype(self) -> torch.dtype:
        """What it computes in; of an integer program, what its readouts are."""
        return self._like.dtype

    def _apply(self, fn: Any, recurse: bool = True) -> Any:
        """What ``to``, ``double`` and the like do to every buffer."""
        if self.program.integer and fn(self._like).dtype != self._like.dtype:
            raise ConfigError(OWN_WIDTHS)
        return super()._apply(fn, recurse)

    def use(self, execution: Execution) -> None:
        """Run as ``execution`` says, on the device where it is; this process then keeps memory that it frees.

        Raises
        ------
        ConfigError
            if levels of its neurons are too many to be told apart in bfloat16, or kernels cannot be made.
        """
        keep_freed_memory()
        if execution.dtype is not None:
            if self.program.integer:
                raise ConfigError(OWN_WIDTHS)
            dtype = getattr(torch, execution.dtype)
            digits = 1 - round(math.log2(torch.finfo(dtype).eps))
            wide = {name: span for name in self.program.neurons if (span := self.program.nodes[name].levels_apart) > digits}
            if wide:
                name, span = max(wide.items(), key=lambda item: item[1])
                graded = self.program.nodes[name].graded
                told = f"holds payloads of {digits} bits" if graded else f"tells {digits} levels apart"
                raise ConfigError(
                    f"{execution.dtype} {told}, and {len(wide)} neuron nodes have more ({name}: {span});"
                    f" use --dtype float32, or convert with --{'payload-bits' if graded else 'levels'} {digits}"
                )
            self.to(dtype)
        self.memory_bytes = execution.memory_bytes
        if execution.compiled:
            self.compile_neurons()

    def compile_neurons(self) -> None:
        """Run neurons as fused kernels, which ``torch.compile`` makes for each shape of operand when it first comes.

        The arithmetic is the same, operation by operation.

        Raises
        ------
        ConfigError
            if there is no C++ compiler for a model on a CPU, or the program is an integer program.
        """
        if self.program.integer:
            raise ConfigError(NO_KERNELS)
        require_compiler(self.device)
        self._compiled = True

    @torch.no_grad()
    def forward(self, x: Samples | None = None, timesteps: int | None = None, **named: Any) -> Tensor:
        """Run a batch.

        Parameters
        ----------
        x, named : (B, *input_shape), packed where there are several inputs; or each by its name, as a mapping or as keywords
        timesteps : steps T, by default those the program was converted for

        Returns
        -------
        (T, B, classes) : the readout after every step

        Raises
        ------
        ConfigError, DataError
            if ``timesteps`` is below 1; if an input is missing, unknown, of another shape or out of its range.
        """
        steps = self.program.timesteps if timesteps is None else timesteps
        return self._run(x, steps, self.context(), named=named)

    @torch.no_grad()
    def analog(
        self, x: Samples | None = None, observe: Observer | None = None, passing: Passing | None = None, **named: Any
    ) -> Tensor:
        """Outputs (B, classes) with neurons as identity: those of the original model.

        ``observe`` is called with the name and the input (B, ...) of every neuron; what ``passing`` gives for these goes on in
        place of the input.
        """
        return self._run(x, 1, self.context(identity=True, watch_neurons=observe, passing=passing), named=named)[0]

    def sent(self, name: str, v: Tensor) -> Tensor:
        """What neuron ``name`` sends for membranes v (B, *shape)."""
        neuron: Any = self.runner.ops[name]
        sent: Tensor = neuron.sent(v)
        return sent

    @torch.no_grad()
    def alone(self, name: str, x: Tensor, timesteps: int) -> tuple[Tensor, Tensor]:
        """Run with one neuron node spiking and all others as identity, which takes little longer than one step.

        Returns
        -------
        the readout after the last step (B, classes), and what that neuron has not sent by then (B, ...)
        """
        run = self.context(identity=True, spiking=name)
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
            run = self.context(identity=True, watch_neurons=observe, watch_streams=trace)
            readout = self._run(x.clone().detach().requires_grad_(), 1, run)[0]
            signs = torch.randint(0, 2, readout.shape, generator=generator).to(readout) * 2 - 1
            (readout * signs).sum().backward()

    @torch.no_grad()
    def trace(self, x: Tensor, observe: Observer) -> None:
        """Run the analog program and call ``observe`` with the name and the stream (B, ...) of every node."""
        self._run(x, 1, self.context(identity=True, watch_streams=observe))

    @torch.no_grad()
    def watch(self, x: Tensor, timesteps: int, observe: Observer) -> Tensor:
        """As :meth:`forward`; ``observe`` is called with the name and the stream (B, ...) of every node, step after step."""
        return self._run(x, timesteps, self.context(watch_streams=observe))

    @torch.no_grad()
    def count(self, x: Tensor, timesteps: int, samples: int | None = None) -> tuple[Tensor, Activity]:
        """Run a batch and count; only the first ``samples`` are counted (the rest are filler that fixes the batch shape).

        Returns
        -------
        outputs (T, B, classes), activity
        """
        samples = len(x) if samples is None else samples
        run = self.context()
        outputs = self._run(x, timesteps, run, counted=samples)
        return outputs, activity_of(self.program, run.rows(1, timesteps), samples)

    def stream(self, steps_per_frame: int = 1, gate: float | None = None, cuts: bool = True, keep: int = KEPT_FRAMES) -> Stream:
        """A stream, or several side by side, whose state is kept from frame to frame; use it in a ``with`` block.

        Parameters
        ----------
        steps_per_frame : steps S that a frame takes
        gate : a patch of the input is sent when the root mean square of its difference from what was last sent of it exceeds
            this; 0: when it differs at all; ``None``: what calibration on a clip found best, 0 where there was none
        cuts : whether the stream begins anew behind a cut, where that takes fewer events than to go on; see
            :class:`~ecmt_deploy.program.gate.Gate`
        keep : of how many of the latest frames counts are kept one by one; :attr:`Stream.total` has those of all

        Raises
        ------
        ConfigError
            if the program is of rate coding, which has no streams, or an argument makes no sense.
        """
        return Stream(self, steps_per_frame, gate, cuts, keep)

    def context(self, **how: Any) -> RunContext:
        """What changes while it runs, for one run; parameters as of :class:`RunContext`."""
        if self.program.integer and how.get("identity"):
            raise ConfigError(WITHOUT_ANALOG)
        return RunContext(self.plan, self.program.nodes, compiled=self._compiled, dtype=self.dtype, **how)

    def _run(self, given: Any, timesteps: int, run: RunContext, counted: int | None = None, named: Any = None) -> Tensor:
        require_timesteps(timesteps)
        x = packed(self.program, given, named or {})
        self.require_range()
        whole = run.watched or run.spiking is not None  # who looks on sees the batch as it was given
        pieces = (len(x), timesteps) if whole else self.pieces(len(x), timesteps)
        outputs = self.runner.run(presented(self.program, x, self._like), timesteps, run, pieces, counted)
        return readable(self.program, outputs)

    def require_range(self) -> None:
        """Refuse a dtype in which a neuron's levels are no normal numbers, with a :class:`ConfigError`."""
        # levels are compared in float32 where the streams have fewer digits
        self.program.require_range(np.dtype("float64" if self.dtype == torch.float64 else "float32"))

    def pieces(self, batch: int, timesteps: int) -> tuple[int, int]:
        """Samples and time steps that are computed at once, so that the streams alive fit into :attr:`memory_bytes`."""
        return self.runner.pieces(batch, timesteps, self.memory_bytes // self.step_bytes)

    @property
    def step_bytes(self) -> int:
        """Memory that a step of one sample takes while it is computed."""
        return self.runner.most_alive * self._like.element_size()

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
        write(self.program, path)


def load(program: ProgramLike) -> SpikingModel:
    """The model of a program, which is read from a file or taken from a ``Program`` or ``Run``; a model is returned as it is.

    The outputs of a program from a file are bit-identical to those of the model that was saved.

    Raises
    ------
    ProgramError
        if the file is missing, damaged or breaks a rule of the dialect.
    ConfigError
        if it is no program.
    """
    return program if isinstance(program, SpikingModel) else SpikingModel(as_program(program))
