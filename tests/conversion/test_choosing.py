"""Which preset a chip gets: by what presets and chips say of themselves, in one line, and refused early with the fix."""

import logging
import sys
import types
from importlib.metadata import EntryPoint
from typing import ClassVar

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

import ecmt_deploy as ecmt
from ecmt_deploy import chips, config
from ecmt_deploy.config import ConvertConfig, Preset, find_preset
from ecmt_deploy.conversion.choosing import choose, for_chip
from ecmt_deploy.errors import ConfigError, HardwareError
from tests.support.commands import run as command
from tests.support.two_layers import figure

WIDE_ENOUGH = find_preset("graded").least_payload_bits


def chip(payload: int | None, room: int | None = None):
    limits = {"graded_payload_bits": payload, "payload_bits_per_packet": room}
    known = {name: None if value is None else figure(value, "bit") for name, value in limits.items()}
    loihi2 = chips.hardware("loihi2")
    return msgspec.structs.replace(loihi2, limits=msgspec.structs.replace(loihi2.limits, **known))


@pytest.mark.parametrize("name", chips.available())
def test_every_chip_that_comes_with_the_project(name):
    payload = chips.hardware(name).limits.graded_payload_bits
    wide = payload is not None and payload.value >= WIDE_ENOUGH
    chosen, reason = choose(name)
    assert chosen.name == ("graded" if wide else "accurate")
    assert (name in reason, f": preset {chosen.name}, " in reason, "\n" in reason) == (True, True, False)
    if wide:
        assert chosen.payload_bits == min(payload.value, 16)
        assert reason.endswith(f"payloads of {payload.value:g} bits: preset graded, one event per value")


@given(payload=st.none() | st.integers(1, 32), asked=st.none() | st.integers(2, 16))
def test_payloads_are_no_wider_than_the_chips(payload, asked):
    there = chip(payload)
    explicit = ConvertConfig("graded", payload_bits=asked)
    if payload is not None and (payload < 2 or (asked or 0) > payload):
        with pytest.raises(ConfigError, match="--preset accurate" if payload < 2 else f"--payload-bits {payload}, or another"):
            for_chip(explicit, there)
    else:
        fitted = for_chip(explicit, there)
        assert fitted.payload_bits == (asked if payload is None else asked or min(payload, 16))
    chosen = choose(there).config
    assert chosen.name == ("graded" if payload is not None and payload >= WIDE_ENOUGH else "accurate")
    for other in ("accurate", "paper"):
        assert for_chip(ConvertConfig(other), there) == ConvertConfig(other)


def test_long_payloads_pay_for_their_packets():
    """At 4 bits a packet a payload of 16 is 4 packets, a level of 5 bits 2, in each of 4 steps; at one bit 16 against 20."""
    for room, payload in ((None, 16), (4, 16), (1, 16)):
        assert choose(chip(payload, room)).config.name == "graded"


def test_options_decide_too():
    assert choose("loihi2", levels=6).config == ConvertConfig("accurate", levels=6)
    assert choose("loihi2", mlp_bases="fixed").config == ConvertConfig("paper", mlp_bases="fixed")
    assert choose("loihi2", payload_bits=8, timesteps=2, budget=0.5).config == ConvertConfig(
        "graded", payload_bits=8, timesteps=2, budget=0.5
    )
    assert choose("loihi2", timesteps=2).reason.endswith("preset graded, at most 2 events per value")
    with pytest.raises(ConfigError, match="preset accurate has no payload_bits; choose preset graded, or leave it out"):
        choose("truenorth", payload_bits=8)
    with pytest.raises(ConfigError, match="budget is -1"):
        choose("loihi2", budget=-1)
    with pytest.raises(HardwareError, match="unknown chip 'loihi9'"):
        choose("loihi9")


class Terse(Preset, frozen=True, kw_only=True):
    """A preset of another package: binary spikes in a single step."""

    name: ClassVar[str] = "terse"
    coding: ClassVar[str] = "differential"
    most_levels: ClassVar[int] = 1

    timesteps: int = 1


def test_a_third_preset_is_chosen_by_what_it_says(monkeypatch):
    module = types.ModuleType("terse_preset")
    module.PRESET = Terse
    monkeypatch.setitem(sys.modules, "terse_preset", module)
    entry = EntryPoint("terse", "terse_preset:PRESET", config.GROUP)
    monkeypatch.setattr("importlib.metadata.entry_points", lambda group: [entry])
    assert choose("truenorth").config == Terse()  # one event per value where accurate has four
    assert choose(chip(16, 4)).config == Terse()  # one packet, where a payload takes four
    monkeypatch.setattr(Terse, "least_payload_bits", 32)
    assert choose("truenorth").config.name == "accurate"


def test_in_python(monkeypatch, caplog):
    seen = []

    def stop(module, calibration, config, *args, **kwargs):
        seen.append(config)
        raise ConfigError("far enough")

    monkeypatch.setattr("ecmt_deploy.conversion.converter.convert", stop)
    x = [[0.0]]
    monkeypatch.setattr(logging.getLogger("ecmt_deploy"), "propagate", True)  # whatever a command before has set
    with caplog.at_level(logging.INFO, logger="ecmt_deploy"):
        for hardware, given_config in (
            (None, None),
            ("loihi2", None),
            ("truenorth", None),
            ("spinnaker2", ConvertConfig("graded")),
        ):
            with pytest.raises(ConfigError, match="far enough"):
                ecmt.convert("zoo:vit_digits", x, given_config, hardware=hardware)
    assert seen == [None, ConvertConfig("graded", payload_bits=16), ConvertConfig(), ConvertConfig("graded", payload_bits=16)]
    assert "loihi2 carries payloads of 16 bits: preset graded, one event per value" in caplog.text
    with pytest.raises(ConfigError, match="^spikes of truenorth carry no payload: preset graded needs 2 bits or more"):
        ecmt.convert("zoo:vit_digits", x, ConvertConfig("graded"), hardware="truenorth")


CONVERT = ["convert", "zoo:vit_digits", "--data", "digits", "--calibration-samples", "8", "--out", "p.nir"]


def test_on_the_command_line(capsys, monkeypatch, tmp_path):
    line = [*CONVERT, "--hardware", "loihi2", "--payload-bits", "8"]
    status, out, err = command(line, capsys, monkeypatch, tmp_path)
    assert status == 0
    assert "loihi2 carries payloads of 16 bits: preset graded, one event per value" in err
    assert "preset graded" in out
    made = ecmt.read(tmp_path / "p.nir")
    assert made.timesteps == 1
    assert max(made.payload_bits(name) for name in made.neurons) <= 8
    refused = [
        (["--preset", "graded", "--hardware", "odin"], "of odin carry no payload: preset graded needs 2 bits or more"),
        (["--preset", "graded", "--payload-bits", "17"], "payload_bits is 17; choose 2 to 16"),
        (["--preset", "paper", "--payload-bits", "8"], "preset paper has no payload_bits; choose preset graded"),
        (["--hardware", "nonsense"], "unknown chip 'nonsense'"),
    ]  # fmt: skip
    for more, said in refused:
        status, _, err = command([*CONVERT, *more], capsys, monkeypatch, tmp_path)
        assert (status, said in err) == (2, True), err
