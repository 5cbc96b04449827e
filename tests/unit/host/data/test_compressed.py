"""Text files in every packing: what is read, and how the error names what cannot be read."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import os
import tarfile
import threading
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from hotline_host.data.log import DataError
from hotline_host.data.sources import load

LINES = "".join(
    "\t".join([str(number % 2), *["1"] * 13, *[f"{number * 7919 + table:08x}" for table in range(26)]]) + "\n"
    for number in range(200)
).encode()
LABELS = [number % 2 for number in range(200)]


def arrow(codec: str) -> Callable[[bytes], bytes]:
    def pack(data: bytes) -> bytes:
        sink = pa.BufferOutputStream()
        with pa.CompressedOutputStream(sink, codec) as stream:
            stream.write(data)
        return sink.getvalue().to_pybytes()

    return pack


def zipped(data: bytes, *names: str) -> bytes:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.mkdir("folder")
        for name in names or ("folder/train.txt",):
            archive.writestr(name, data)
    return packed.getvalue()


PACKINGS = {
    ".gz": gzip.compress, ".bz2": bz2.compress, ".xz": lzma.compress, ".zst": arrow("zstd"), ".lz4": arrow("lz4"),
    ".zip": zipped,
}  # fmt: skip


@pytest.mark.parametrize("suffix", PACKINGS)
@pytest.mark.parametrize("named", [True, False])
def test_packed_text_is_read_whatever_its_name(tmp_path: Path, suffix: str, named: bool) -> None:
    path = tmp_path / f"train.txt{suffix if named else ''}"
    path.write_bytes(PACKINGS[suffix](LINES))
    calls: list[tuple[str, int, int]] = []
    log = load(f"criteo:{path}", progress=lambda *call: calls.append(call))
    assert log.label.tolist() == LABELS
    _, done, size = calls[-1]
    assert size == path.stat().st_size
    assert done == size or (suffix == ".zip" and 0 < done <= size)  # an archive's directory is read first


@pytest.mark.parametrize("suffix", PACKINGS)
@pytest.mark.parametrize("skip_bad", [True, False])
def test_damaged_packings_are_named(tmp_path: Path, suffix: str, skip_bad: bool) -> None:
    path = tmp_path / f"train{suffix}"
    packed = PACKINGS[suffix](LINES)
    flipped = bytearray(packed)
    for place in range(len(packed) // 2, len(packed) // 2 + 64):
        flipped[place] ^= 255
    damaged = [packed[: len(packed) // 2], packed[:12], b"no such packing"]
    if suffix != ".zst":  # Arrow writes no checksum
        damaged.append(bytes(flipped))
    for data in damaged:
        path.write_bytes(data)
        with pytest.raises(DataError, match=rf"train\{suffix}: damaged \w+ \(.+\); fetch the file again") as caught:
            load(f"criteo:{path}", skip_bad=skip_bad)
        assert "\n" not in str(caught.value)


def pipe(data: bytes) -> tuple[int, threading.Thread]:
    """The reading end of a pipe, and the thread that writes data to it."""
    reading, writing = os.pipe()

    def write() -> None:
        with os.fdopen(writing, "wb") as end:
            end.write(data)

    thread = threading.Thread(target=write)
    thread.start()
    return reading, thread


@pytest.mark.parametrize("packing", [bytes, gzip.compress, arrow("zstd")])
def test_a_pipe_is_read(packing: Callable[[bytes], bytes]) -> None:
    reading, thread = pipe(packing(LINES))
    assert load(f"criteo:/dev/fd/{reading}").label.tolist() == LABELS
    thread.join()
    os.close(reading)


def test_pipes_that_cannot_be_read() -> None:
    reading, thread = pipe(zipped(LINES))
    with pytest.raises(DataError, match="a zip archive cannot be read from a pipe; unpack it first"):
        load(f"criteo:/dev/fd/{reading}")
    with pytest.raises(DataError, match=r"not a pipe"):
        load(f"npz:/dev/fd/{reading}")
    os.close(reading)
    thread.join()


def test_an_empty_file_of_a_packed_name_has_no_sample(tmp_path: Path) -> None:
    (tmp_path / "train.gz").write_bytes(b"")
    with pytest.raises(DataError, match=r"no sample in it \(0 damaged"):
        load(f"criteo:{tmp_path / 'train.gz'}")


def encrypted() -> bytes:
    data = bytearray(zipped(LINES))
    entry = data.rindex(b"PK\x01\x02")  # the central directory's last entry, and the file's own header
    data[entry + 8] |= 1
    data[data.rindex(b"PK\x03\x04") + 6] |= 1
    return bytes(data)


def tar() -> bytes:
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz") as archive:
        member = tarfile.TarInfo("train.txt")
        member.size = len(LINES)
        archive.addfile(member, io.BytesIO(LINES))
    return packed.getvalue()


def npz() -> bytes:
    packed = io.BytesIO()
    np.savez(packed, sparse=np.eye(2, dtype=int))
    return packed.getvalue()


@pytest.mark.parametrize(
    ("name", "data", "message"),
    [
        ("dac.tar.gz", tar(), r"a tar archive; unpack it \(tar xf dac\.tar\.gz\) and name the log in it"),
        ("two.zip", zipped(LINES, "a", "b"), r"a zip archive of 2 files \(a, b\); unpack it and name the log in it"),
        ("secret.zip", encrypted(), r"cannot be unpacked here \(.*encrypted.*\); unpack it and name the text file"),
        ("log.npz", npz(), r"holds NumPy arrays \(sparse\.npy\); write npz:.*log\.npz"),
        ("log.parquet", b"PAR1" + bytes(100), "a Parquet file; write it as text"),
        ("log.7z", b"7z\xbc\xaf\x27\x1c", "a 7z archive; unpack it and name the text file"),
        ("utf16", LINES.decode().encode("utf-16"), "UTF-16 text; write it as UTF-8"),
    ],
)
def test_other_formats_are_named_with_a_remedy(tmp_path: Path, name: str, data: bytes, message: str) -> None:
    (tmp_path / name).write_bytes(data)
    with pytest.raises(DataError, match=message):
        load(f"criteo:{tmp_path / name}")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read every file")
def test_a_file_without_permission(tmp_path: Path) -> None:
    path = tmp_path / "train.txt"
    path.write_bytes(LINES)
    path.chmod(0)
    for source in ("criteo", "npz"):
        with pytest.raises(DataError, match=r"cannot be read \(Permission denied\); name a readable"):
            load(f"{source}:{path}")
