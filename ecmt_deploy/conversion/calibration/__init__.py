"""From an analog program and samples to the levels of its neurons: every module here is a preset, named ``PRESET`` there.

A preset is its options, their checks, and its calibration, in one file (docs/presets.md). What several may share stands in
:mod:`ecmt_deploy.conversion.calibration.tools`. A preset's module loads no torch until it calibrates.
"""
