"""A spiking self-attention block made by hand from Lava processes: ``python examples/lava_attention.py``.

Tokens enter once, at the first step; spikes then refine the answer step by step (differential coding). It prints how far
the answer is from that of the ordinary block.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass

import numpy as np

from ecmt_deploy.targets.lava.processes import ECMProduct, ECMSoftmax, MultiThreshold, TokenLinear

# lava comes after ecmt_deploy.targets.lava.processes, which makes it importable on Python 3.11 and later
from lava.magma.core.run_conditions import RunSteps  # isort: skip
from lava.magma.core.run_configs import Loihi2SimCfg  # isort: skip
from lava.proc.io.source import RingBuffer  # isort: skip
from lava.proc.monitor.process import Monitor  # isort: skip

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Weights:
    """Query (scaled by 1 / sqrt(dim)), key, value and projection, (dim, dim) each."""

    query: np.ndarray
    key: np.ndarray
    value: np.ndarray
    projection: np.ndarray


def weights(dim: int, seed: int = 0) -> Weights:
    """Random weights."""
    r = np.random.default_rng(seed)
    query, key, value, projection = r.normal(size=(4, dim, dim)) / np.sqrt(dim)
    return Weights(query / np.sqrt(dim), key, value, projection)


def attention(x: np.ndarray, w: Weights) -> np.ndarray:
    """The ordinary block, (tokens, dim)."""
    scores = (x @ w.query.T) @ (x @ w.key.T).T
    e = np.exp(scores - scores.max(axis=1, keepdims=True))
    return (e / e.sum(axis=1, keepdims=True)) @ (x @ w.value.T) @ w.projection.T


def neurons(shape: tuple[int, ...], name: str) -> MultiThreshold:
    """A layer of neurons with levels from 1/256 up."""
    return MultiThreshold(shape=shape, positive_base=1 / 256, levels=12, name=name)


def spiking_attention(x: np.ndarray, w: Weights, timesteps: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The block as a Lava network.

    Returns
    -------
    answer (timesteps, tokens, dim) after every step; spikes and membranes (timesteps, tokens, dim) of the query's neurons
    """
    tokens, dim = x.shape
    source = RingBuffer(data=np.stack([x, *[np.zeros_like(x)] * (timesteps - 1)], axis=-1))
    entry = neurons((tokens, dim), "entry")
    query, key, value = (TokenLinear(weights=m, tokens=(tokens,)) for m in (w.query, w.key, w.value))
    query_neurons, key_neurons, value_neurons = (neurons((tokens, dim), name) for name in ("query", "key", "value"))
    scores = ECMProduct(shape_left=(tokens, dim), shape_right=(dim, tokens))
    softmax = ECMSoftmax(shape=(tokens, tokens))
    softmax_neurons = neurons((tokens, tokens), "attention")
    mixed = ECMProduct(shape_left=(tokens, tokens), shape_right=(tokens, dim))
    mixed_neurons = neurons((tokens, dim), "mixed")
    projection = TokenLinear(weights=w.projection, tokens=(tokens,))

    source.s_out.connect(entry.a_in)
    for linear, layer in ((query, query_neurons), (key, key_neurons), (value, value_neurons)):
        entry.s_out.connect(linear.s_in)
        linear.a_out.connect(layer.a_in)
    query_neurons.s_out.connect(scores.left_in)
    key_neurons.s_out.transpose([1, 0]).connect(scores.right_in)
    scores.a_out.connect(softmax.a_in)
    softmax.a_out.connect(softmax_neurons.a_in)
    softmax_neurons.s_out.connect(mixed.left_in)
    value_neurons.s_out.connect(mixed.right_in)
    mixed.a_out.connect(mixed_neurons.a_in)
    mixed_neurons.s_out.connect(projection.s_in)

    output, spikes, membrane = Monitor(), Monitor(), Monitor()
    output.probe(projection.a_out, timesteps)
    spikes.probe(query_neurons.s_out, timesteps)
    membrane.probe(query_neurons.v, timesteps)
    entry.run(RunSteps(timesteps), Loihi2SimCfg(select_tag="floating_pt"))
    recorded = [
        monitor.get_data()[process.name][variable]
        for monitor, process, variable in (
            (output, projection, "a_out"), (spikes, query_neurons, "s_out"), (membrane, query_neurons, "v"),
        )
    ]  # fmt: skip
    entry.stop()
    return recorded[0].cumsum(axis=0), recorded[1], recorded[2]


def main() -> None:
    """Run both blocks on random tokens and compare them after every step."""
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    x, w = np.random.default_rng(1).normal(size=(6, 8)), weights(8)
    answer, spikes, _ = spiking_attention(x, w, timesteps=8)
    expected = attention(x, w)
    for t, after in enumerate(answer, start=1):
        error = np.linalg.norm(after - expected) / np.linalg.norm(expected)
        log.info("step %d: relative error %.5f, spikes of the query's neurons %d", t, error, np.count_nonzero(spikes[t - 1]))


if __name__ == "__main__":
    main()
