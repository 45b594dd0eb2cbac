"""``python -m ecmt_deploy.targets.cores P.nir --hardware NAME --out DIR``: write a placed program as a loader takes it."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from ecmt_deploy.door import as_chip
from ecmt_deploy.errors import EcmtError
from ecmt_deploy.program import read

from . import export


def main(arguments: list[str] | None = None) -> int:
    """Write the files, and say where; 2 with one line on stderr where that is refused."""
    parser = argparse.ArgumentParser(prog="python -m ecmt_deploy.targets.cores", description=__doc__)
    parser.add_argument("program", type=Path, help="integer program, as ecmt-deploy quantize writes it")
    parser.add_argument("--hardware", required=True, help="chip that it is placed on: a name, or a file")
    parser.add_argument("--out", type=Path, required=True, help="directory to write")
    parser.add_argument("--overwrite", action="store_true", help="replace the files that an earlier export left there")
    options = parser.parse_args(arguments)
    try:
        export(read(options.program), as_chip(options.hardware), options.out, options.overwrite)
    except EcmtError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    print(options.out)
    return 0


if __name__ == "__main__":
    sys.exit(main())
