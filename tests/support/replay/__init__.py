"""Blocks of the bundled model replayed on SANA-FE, spike by spike, on the cores of our placement.

``workload`` says which spikes go from which core to which synapses, ``loads`` what each core then does, ``ours`` what we make
of it, ``machine`` what SANA-FE does.
"""
