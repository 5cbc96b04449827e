"""NumPy click logs: round trips, and every way in which the arrays can be wrong."""

from __future__ import annotations

import io
import pickle
import tempfile
import zipfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from hotline_host.data.log import ClickLog, DataError
from hotline_host.data.sources import load

SPARSE = np.array([[0, 5], [2, 1], [1, 1]], np.int64)
INDICES = np.array([3, 0, 1, 2, 2], np.int64)
LENGTHS = np.array([[1, 2], [0, 1], [1, 0]], np.int64)


def save(path: Path, **arrays: object) -> str:
    np.savez(path / "log.npz", **arrays)
    return f"npz:{path / 'log.npz'}"


def test_one_lookup_a_bag(tmp_path: Path) -> None:
    log = load(save(tmp_path, sparse=SPARSE))
    assert log.indices.tolist() == SPARSE.ravel().tolist()
    assert log.rows.tolist() == [3, 6]
    assert log.lengths.tolist() == [[1, 1]] * 3
    assert log.label.tolist() == [0, 0, 0]
    assert log.dense.shape == (3, 0)
    assert (log.dense.dtype, log.label.dtype, log.indices.dtype) == (np.float32, np.float32, np.int64)
    assert log.name == "npz:log.npz"


def test_samples_cuts_the_ragged_arrays_too(tmp_path: Path) -> None:
    log = load(save(tmp_path, indices=INDICES, lengths=LENGTHS, label=[0, 1, 1], dense=np.eye(3)), samples=2)
    assert (log.indices.tolist(), log.lengths.tolist()) == ([3, 0, 1, 2], [[1, 2], [0, 1]])
    assert log.label.tolist() == [0, 1]
    assert log.dense.tolist() == [[1, 0, 0], [0, 1, 0]]
    assert log.rows.tolist() == [4, 3]


@given(st.data())
def test_what_is_saved_is_loaded(data: st.DataObject) -> None:
    size, tables, width = (data.draw(st.integers(least, 5)) for least in (1, 1, 0))
    rng = np.random.default_rng(data.draw(st.integers(0, 2**32)))
    rows = rng.integers(1, 2**32, tables)
    dense = rng.standard_normal((size, width)).astype(np.float32)
    label = rng.integers(0, 2, size)
    if multi_hot := data.draw(st.booleans()):
        lengths = rng.integers(0, 4, (size, tables))
    else:
        lengths = np.ones((size, tables), np.int64)
    assume(lengths.any())
    indices = rng.integers(0, np.repeat(np.tile(rows, size), lengths.ravel()))
    arrays = {"indices": indices, "lengths": lengths} if multi_hot else {"sparse": indices.reshape(size, tables)}
    with tempfile.TemporaryDirectory() as folder:
        log = load(save(Path(folder), dense=dense, label=label, rows=rows, **arrays))
    np.testing.assert_array_equal(log.indices, indices)
    np.testing.assert_array_equal(log.lengths, lengths)
    np.testing.assert_array_equal(log.dense, dense)
    np.testing.assert_array_equal(log.label, label)
    np.testing.assert_array_equal(log.rows, rows)
    start = int(rng.integers(0, size))
    batch = log.batch(start, start + 2)
    first = lengths[:start].sum()
    np.testing.assert_array_equal(batch.indices, indices[first : first + lengths[start : start + 2].sum()])


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({}, r"holds nothing; it must hold sparse \[S, T\], or indices \[n\] and lengths \[S, T\]"),
        ({"labels": [1]}, r"holds labels; it must hold sparse"),
        ({"indices": INDICES}, r"holds indices; it must hold"),
        ({"sparse": SPARSE, "lengths": LENGTHS}, r"holds both sparse and indices or lengths; keep sparse, or"),
        ({"sparse": SPARSE.astype(float)}, r"sparse has type float64; it must hold integers .* shape \[S, T\]"),
        ({"sparse": SPARSE.astype(object)}, r"sparse cannot be read \(Object arrays .*; it must hold integers"),
        ({"sparse": SPARSE[0]}, r"sparse has shape \[2\]; it must hold integers \(int64\) of shape \[S, T\]"),
        ({"sparse": SPARSE[:0]}, r"0 samples of 2 tables; it must hold at least one of each"),
        ({"sparse": SPARSE[:, :0]}, r"3 samples of 0 tables"),
        ({"sparse": SPARSE - 1}, r"sparse\[0, 0\] is -1; a row is 0 or more"),
        ({"sparse": SPARSE, "rows": [3, 5]}, r"sparse\[0, 1\] is 5; table 1 has 5 rows, and its last is one less"),
        ({"sparse": SPARSE, "rows": [3]}, r"rows has shape \[1\]; .* of shape \[T\] with T = 2"),
        ({"sparse": SPARSE, "rows": [3.0, 6.0]}, r"rows has type float64"),
        ({"sparse": SPARSE, "rows": [3, -6]}, r"rows\[1\] is -6"),
        ({"sparse": SPARSE, "rows": [3, 2**32 + 1]}, r"table table_1 has 4294967297 rows; .* at most 4294967296 rows"),
        ({"sparse": SPARSE + 2**32}, r"sparse\[0, 0\] is 4294967296; .* at most 4294967296 rows"),
        ({"sparse": SPARSE + (2**63 - 6)}, r"sparse\[0, 0\] is 9223372036854775802; .* at most 4294967296 rows"),
        ({"sparse": SPARSE > 1}, r"sparse has type bool; it must hold integers"),
        ({"sparse": np.full((2, 2), "3")}, r"sparse has type <U1; it must hold integers"),
        ({"sparse": SPARSE.astype("m8[s]")}, r"sparse has type timedelta64\[s\]"),
        ({"sparse": np.int64(3)}, r"sparse has shape \[\]; .* of shape \[S, T\]"),
        ({"sparse": np.full((1, 1), 2**63, np.uint64)}, r"sparse\[0, 0\] is 9223372036854775808; int64 cannot hold it"),
        ({"sparse": np.zeros((1, 257), np.int64)}, r"257 tables; the accelerator's key names at most 256 tables"),
        ({"indices": INDICES[:4], "lengths": LENGTHS}, r"lengths add up to 5, but indices holds 4; they must agree"),
        ({"indices": INDICES, "lengths": -LENGTHS}, r"lengths\[0, 0\] is -1; a bag has 0 lookups or more"),
        ({"indices": INDICES[:0], "lengths": np.full((4, 1), 2**62)}, r"lengths add up to 18446744073709551616, but"),
        ({"indices": INDICES, "lengths": [[2**62 + 5], [2**62]] * 2}, r"lengths add up to 18446744073709551616, but"),
        ({"indices": INDICES, "lengths": np.full((1, 1), 2**63, np.uint64)}, r"lengths\[0, 0\] is 9.*8; int64 cannot"),
        (
            {"indices": INDICES[:0], "lengths": LENGTHS * 0},
            r"all bags of its 3 samples are empty; .* at least one lookup",
        ),
        ({"indices": INDICES, "lengths": LENGTHS[0]}, r"lengths has shape \[2\]; .* shape \[S, T\]"),
        ({"indices": INDICES[:, None], "lengths": LENGTHS}, r"indices has shape \[5, 1\]; .* shape \[n\]"),
        ({"indices": INDICES, "lengths": LENGTHS / 1}, r"lengths has type float64"),
        ({"indices": INDICES / 1, "lengths": LENGTHS}, r"indices has type float64"),
        ({"indices": INDICES + 2**32, "lengths": LENGTHS}, r"indices\[0\] is 4294967299; .* at most 4294967296 rows"),
        ({"indices": -INDICES, "lengths": LENGTHS}, r"indices\[0\] is -3"),
        ({"indices": INDICES, "lengths": LENGTHS, "rows": [4, 2]}, r"indices\[3\] is 2; table 1 has 2 rows"),
        ({"sparse": SPARSE, "dense": np.ones((2, 4))}, r"dense has shape \[2, 4\]; .* \[S, F\] with S = 3"),
        ({"sparse": SPARSE, "dense": np.ones((3, 4), int)}, r"dense has type int64; it must hold floating-point"),
        ({"sparse": SPARSE, "dense": [[0.0], [np.nan], [0.0]]}, r"dense\[1, 0\] is nan; a dense feature is finite"),
        ({"sparse": SPARSE, "dense": [[0.0], [-np.inf], [0]]}, r"dense\[1, 0\] is -inf; a dense feature is finite"),
        ({"sparse": SPARSE, "dense": np.full((3, 2), 1e300)}, r"dense\[0, 0\] is 1e\+300; float32 cannot hold it"),
        ({"sparse": SPARSE, "dense": [[0.0], [0], [-1e39]]}, r"dense\[2, 0\] is -1e\+39; float32 cannot hold it"),
        ({"sparse": SPARSE, "dense": np.ones((3, 1), complex)}, r"dense has type complex128; it must hold floating"),
        ({"sparse": SPARSE, "label": [0, 1, np.nan]}, r"label\[2\] is nan; a label is from 0 to 1"),
        ({"sparse": SPARSE, "label": [0, -0.5, 1]}, r"label\[1\] is -0\.5; a label is from 0 to 1"),
        ({"sparse": SPARSE, "label": np.array([None] * 3)}, r"label cannot be read \(Object arrays"),
        ({"sparse": SPARSE, "label": [0, 1]}, r"label has shape \[2\]; .* \[S\] with S = 3"),
        ({"sparse": SPARSE, "label": [0, 1, 2]}, r"label\[2\] is 2; a label is from 0 to 1"),
        ({"sparse": SPARSE, "label": ["a", "b", "c"]}, r"label has type <U1; it must hold numbers"),
    ],
)
def test_wrong_arrays_are_named(tmp_path: Path, arrays: dict[str, object], message: str) -> None:
    with pytest.raises(DataError, match=message) as caught:
        load(save(tmp_path, **arrays))
    assert "log.npz" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_files_that_are_no_npz(tmp_path: Path) -> None:
    path = tmp_path / "log.npz"
    with pytest.raises(DataError, match=r"log\.npz: no such file; name the log"):
        load(f"npz:{path}")
    path.write_text("hello")
    with pytest.raises(DataError, match=r"log\.npz: cannot be read as \.npz"):
        load(f"npz:{path}")
    path.write_bytes(b"")
    with pytest.raises(DataError, match=r"cannot be read as \.npz"):
        load(f"npz:{path}")
    np.save(tmp_path / "log.npy", SPARSE)
    with pytest.raises(DataError, match=r"log\.npy: holds a single array"):
        load(f"npz:{tmp_path / 'log.npy'}")
    spec = save(tmp_path, sparse=np.arange(2000).reshape(-1, 2))
    whole = path.read_bytes()
    data = bytearray(whole)
    data[5000] ^= 255
    path.write_bytes(data)
    with pytest.raises(DataError, match="sparse cannot be read"):
        load(spec)
    path.write_bytes(whole[:-100])
    with pytest.raises(DataError, match=r"log\.npz: cannot be read as \.npz .*; write it with numpy\.savez"):
        load(spec)
    with pytest.raises(DataError, match=r"cannot be read \(Is a directory\); name a readable \.npz file"):
        load(f"npz:{tmp_path}")
    path.write_bytes(pickle.dumps({"sparse": SPARSE}))
    with pytest.raises(DataError, match=r"log\.npz: cannot be read as \.npz"):
        load(spec)


def test_no_damaged_byte_ends_in_a_traceback(tmp_path: Path) -> None:
    spec = save(tmp_path, sparse=SPARSE, dense=np.ones((3, 2)))
    path = tmp_path / "log.npz"
    whole = path.read_bytes()
    refused = 0
    for place in range(0, len(whole), 5):
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 255]) + whole[place + 1 :])
        try:
            load(spec)
        except DataError:
            refused += 1
    assert refused > 50  # a wrong byte that nobody reads does no harm


def test_an_array_too_large_for_memory_is_named(tmp_path: Path) -> None:
    header = io.BytesIO()
    np.lib.format.write_array_header_1_0(header, {"descr": "<i8", "fortran_order": False, "shape": (2**45, 2)})
    with zipfile.ZipFile(tmp_path / "log.npz", "w") as archive:
        archive.writestr("sparse.npy", header.getvalue())
    with pytest.raises(DataError, match=r"sparse cannot be read \(.*; it must hold integers"):
        load(f"npz:{tmp_path / 'log.npz'}")


def test_order_and_byte_order_in_memory_do_not_matter(tmp_path: Path) -> None:
    dense = np.arange(6.0).reshape(3, 2)
    fortran = {"sparse": np.asfortranarray(SPARSE.astype(">u4")), "dense": np.asfortranarray(dense.astype(">f8"))}
    log = load(save(tmp_path, **fortran, label=np.array([True, False, True])))
    assert log.indices.tolist() == SPARSE.ravel().tolist()
    assert log.dense.tolist() == dense.tolist()
    assert (log.dense.dtype, log.indices.dtype, log.dense.flags.c_contiguous) == (np.float32, np.int64, True)
    log = load(save(tmp_path, indices=INDICES, lengths=np.asfortranarray(LENGTHS.astype(np.uint8))))
    assert (log.lengths.tolist(), log.rows.tolist()) == (LENGTHS.tolist(), [4, 3])


def test_rows_up_to_the_key_are_taken() -> None:
    log = ClickLog(
        name="edge",
        tables=("a",),
        rows=np.array([2**32]),
        indices=np.array([2**32 - 1]),
        lengths=np.ones((1, 1), np.int64),
        dense=np.empty((1, 0), np.float32),
        label=np.zeros(1, np.float32),
    )
    assert log.batch(0, 5).indices.tolist() == [2**32 - 1]
