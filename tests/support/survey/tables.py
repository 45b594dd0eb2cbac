"""The tables of docs/support.md."""


def write(records):
    raise NotImplementedError
