"""Fetching from the hub fails quickly where there is no network."""

from __future__ import annotations

import logging
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def quick_failure() -> Iterator[None]:
    """Look only into the local cache where the hub's name does not resolve, instead of retrying for a minute."""
    from huggingface_hub import constants

    level = logging.getLogger("huggingface_hub").level
    offline = constants.HF_HUB_OFFLINE
    if not any(os.environ.get(key) for key in ("HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy")):
        try:
            socket.getaddrinfo(constants.ENDPOINT.split("//")[-1].split("/")[0].split(":")[0], 443)
        except OSError:
            constants.HF_HUB_OFFLINE = True
            logging.getLogger("huggingface_hub").setLevel(logging.ERROR)
    try:
        yield
    finally:
        constants.HF_HUB_OFFLINE = offline
        logging.getLogger("huggingface_hub").setLevel(level)
