"""Programs on targets: the protocol of a target, the verb ``simulate``, probes, and traces of every node."""
