"""Energy of one operation from process to process, and from voltage to voltage.

Source: Stillmaker and Baas, *Scaling equations for the accurate prediction of CMOS device performance from 180 nm to 7 nm*,
Integration 58, 74-81 (2017), doi:10.1016/j.vlsi.2017.02.002, Table 5: energies scale as the ratio of factors that are
quadratic in the voltage. The coefficients were read in a transcription (NanoCAD Laboratory, UCLA, ``nodeScale``); those of
32 nm high performance and of 65 nm agree with the authors' corrigendum, which prints them. Grade D as applied here: processes
between two of the table are interpolated, and a chip's flavour of a process is neither of the table's two.
"""

from __future__ import annotations

from ecmt_deploy.chips import Figure
from ecmt_deploy.estimation.result import Band

#: coefficients of V^2, V and 1 by process in nm; from 45 nm on of high performance and of low power
_WIDE = {130: (7.171, -6.709, 2.904), 90: (4.762, -4.781, 2.092), 65: (3.755, -4.398, 1.975)}
_HIGH_PERFORMANCE = _WIDE | {
    45: (1.018, -0.3107, 0.1539), 32: (0.8367, -0.4341, 0.1701), 20: (0.373, -0.1582, 0.04104),
    16: (0.2958, -0.1241, 0.03024), 14: (0.2363, -0.09675, 0.02239), 10: (0.2068, -0.09311, 0.02375),
    7: (0.1776, -0.09097, 0.02447),
}  # fmt: skip
_LOW_POWER = _WIDE | {
    45: (1.103, -0.362, 0.2767), 32: (0.9559, -0.7823, 0.471), 20: (0.2632, -0.14, 0.06841), 16: (0.2139, -0.1187, 0.05639),
    14: (0.1556, -0.06472, 0.03066), 10: (0.1261, -0.0518, 0.02769), 7: (0.09365, -0.03409, 0.02043),
}  # fmt: skip
#: voltages taken where a chip states none: from near the threshold to that of the arithmetic it is scaled from
UNSTATED_V = 0.5


def energy_factor(node_nm: float, volts: float, low_power: bool = False) -> float | None:
    """Relative energy of an operation; between two processes linear in the feature size, ``None`` beyond the table."""
    table = _LOW_POWER if low_power else _HIGH_PERFORMANCE
    if not min(table) <= node_nm <= max(table):
        return None
    below, above = max(n for n in table if n <= node_nm), min(n for n in table if n >= node_nm)
    at_below, at_above = (a * volts**2 + b * volts + c for a, b, c in (table[below], table[above]))
    return at_below if below == above else at_below + (at_above - at_below) * (node_nm - below) / (above - below)


def scaling(node: Figure, supply: Figure | None, from_node: Figure, from_supply: Figure) -> Band | None:
    """What an operation's energy is multiplied by, from one process to another; ``None`` beyond the table.

    The value is the mean of high performance and low power at the stated voltage; low and high are the least and the most of
    the two, and of the voltages.
    """
    volts = from_supply.value if supply is None else supply.value
    least, most = (UNSTATED_V, volts) if supply is None else supply.span
    found = []
    for low_power in (False, True):
        before = energy_factor(from_node.value, from_supply.value, low_power)
        for v in (least, volts, most):
            after = energy_factor(node.value, v, low_power)
            if before is None or after is None:
                return None
            found.append(after / before)
    return Band(min(found), (found[1] + found[4]) / 2, max(found))
