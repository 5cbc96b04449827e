"""The machine that figures are of: its processor, memory, device and versions."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import resource
import shlex
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import torch

from hotline_host.experiments.memory import available_bytes

__all__ = ["device_bytes", "machine_figures", "peak_bytes", "resident_bytes"]

_PACKAGES = ("torch", "triton", "numpy", "numba", "fbgemm-gpu", "fbgemm-gpu-cpu")


def machine_figures(device: torch.device) -> dict[str, Any]:
    """What a report says of the machine, plain data."""
    return {
        "machine": {
            "processor": _processor(), "architecture": platform.machine(), "cores": os.cpu_count(),
            "available_bytes": available_bytes(), "system": platform.platform(), "load_average": os.getloadavg(),
        },
        "gpu": _gpu(device),
        "versions": _versions(),
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "command": shlex.join(["hotline", *sys.argv[1:]]),
    }  # fmt: skip


def device_bytes(device: torch.device) -> int:
    """Bytes that can still be allocated on the device: on a CPU, of its memory."""
    return torch.cuda.mem_get_info(device)[0] if device.type == "cuda" else available_bytes()


def peak_bytes() -> int:
    """The most memory that this process ever held."""
    unit = 1 if sys.platform == "darwin" else 1024
    return unit * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def resident_bytes() -> int:
    """Memory that this process holds now; on a system without /proc, its peak."""
    try:
        return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except OSError:
        return peak_bytes()


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        lines = []
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), "unknown")


def _gpu(device: torch.device) -> dict[str, Any] | None:
    if device.type != "cuda":
        return None
    properties = torch.cuda.get_device_properties(device)
    return {
        "name": properties.name, "bytes": properties.total_memory, "processors": properties.multi_processor_count,
        "capability": f"{properties.major}.{properties.minor}",
    }  # fmt: skip


def _versions() -> dict[str, str]:
    versions = {"python": platform.python_version()}
    for name in _PACKAGES:
        try:
            versions[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return versions | ({"cuda": torch.version.cuda} if torch.version.cuda else {})
