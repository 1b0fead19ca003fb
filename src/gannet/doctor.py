"""What this machine is, for `gannet doctor`: versions, devices, threads, processes, cache, mirrors."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import os
import platform
import shutil
from collections.abc import Iterator

from gannet import __version__


def findings(*, offline: bool = False) -> Iterator[tuple[str, str]]:
    """(topic, finding) pairs, each as soon as it is known."""
    from gannet.data import catalog

    yield "gannet", f"{__version__}, Python {platform.python_version()}, {platform.platform()}"
    for package in ("torch", "accelerate", "numpy", "scikit-learn", "safetensors", "tyro"):
        yield package, importlib.metadata.version(package)
    yield from _torch()
    home = catalog.home()
    there = home if home.exists() else next(parent for parent in home.parents if parent.exists())
    writable = "writable" if os.access(there, os.W_OK) else "NOT writable: set GANNET_HOME to a folder that is"
    yield "cache", f"{home}, {writable}, {shutil.disk_usage(there).free / 1e9:.1f} GB free"
    for entry in catalog.available():
        yield entry.name, catalog.status(entry.name)
        for mirror in [] if offline else entry.mirrors:
            reason = catalog.reachable(entry, mirror)
            yield "", f"{'reachable' if reason is None else f'not reachable ({reason})'}: {mirror.where}"


def _torch() -> Iterator[tuple[str, str]]:
    import torch

    from gannet.training.engine import Engine

    engine = Engine()
    started = os.environ.get("WORLD_SIZE", "1")
    yield "processes", f"{engine.world} work together, {started} started"
    if torch.cuda.is_available():
        names = [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())]
        yield "devices", ", ".join(names)
    elif torch.backends.mps.is_available():
        yield "devices", "Apple GPU (mps)"
    else:
        yield "devices", f"CPU only ({torch.backends.cpu.get_cpu_capability()})"
    yield "threads", f"{torch.get_num_threads()} of {os.cpu_count()} cores"
    if importlib.util.find_spec("torchvision") is not None:
        try:
            importlib.import_module("torchvision")
        except Exception as error:  # a CUDA build beside a CPU torch raises RuntimeError, and breaks timm and torchmetrics
            yield "torchvision", f"BROKEN ({' '.join(str(error).split())[:80]}): pip uninstall torchvision"
