"""The machine and the libraries that a run was made with: what somebody needs to make it again."""

from __future__ import annotations

import platform
import sys
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import msgspec

#: libraries whose version may move a last digit
_LIBRARIES = ("numpy", "torch", "timm", "nir", "lava-nc")
CPUINFO = Path("/proc/cpuinfo")
#: keys under which it names the processor: of x86, of ARM (some boards), MIPS, RISC-V, and POWER
_CPU_KEYS = ("model name", "hardware", "cpu model", "uarch", "cpu")


class Machine(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Where a run was made.

    Attributes
    ----------
    python, system, cpu : version of Python, system with its architecture, name of the processor; ``cpu`` is ``None`` where the
        system does not say it
    threads : threads that torch computes with; ``None`` where torch was not loaded
    libraries : versions of the installed libraries by the name of their package
    """

    python: str
    system: str
    cpu: str | None
    threads: int | None
    libraries: dict[str, str]

    def __str__(self) -> str:
        threads = "" if self.threads is None else f", {self.threads} thread{'s' * (self.threads != 1)} of torch"
        libraries = ", ".join(f"{name} {found}" for name, found in self.libraries.items())
        return f"{self.cpu or 'processor unknown'}, {self.system}{threads}; Python {self.python}, {libraries}"


def this_machine() -> Machine:
    """The machine of this process; nothing is imported for it."""
    torch = sys.modules.get("torch")
    return Machine(
        python=platform.python_version(),
        system=f"{platform.system()} {platform.machine()}",
        cpu=_cpu(),
        threads=None if torch is None else int(torch.get_num_threads()),
        libraries={name: found for name in _LIBRARIES if (found := _version(name))},
    )


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def _cpu() -> str | None:
    """The processor's name: Linux has it in a file of its own, under a key that depends on the architecture; other systems tell
    Python. The name of the architecture alone is none."""
    said: dict[str, str] = {}
    if CPUINFO.is_file():
        for line in CPUINFO.read_text(errors="replace").splitlines():
            key, _, value = line.partition(":")
            said.setdefault(key.strip().lower(), value.strip())
    named = next((said[key] for key in _CPU_KEYS if said.get(key)), platform.processor())
    return None if named in ("", platform.machine()) else named
