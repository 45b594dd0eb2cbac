"""What presets measure and compute with; several may share a tool, none is a preset.

``neurons`` puts neurons into a program, ``percentiles`` are those of a stream that comes in parts. ``survey`` measures what
reaches a neuron and how much the answer minds an error there, ``allocation`` makes neurons of that for a price per spike, and
``expectation`` folds in what is expected. ``trials`` measures programs for prices against the analog ``answers``, ``tuning``
looks for the price by ``search``, and ``misleading`` finds where the survey was wrong.
"""
