"""From a module to a spiking program: capture, lowering, calibration, and the check that the mathematics stayed."""
