"""Criteo and Avazu text: what is read, and how errors name damage."""

from __future__ import annotations

import gzip
import io
import threading
import time
from pathlib import Path

import numpy as np
import pytest

from hotline_host.data import delimited
from hotline_host.data.avazu import TABLES as AVAZU_TABLES
from hotline_host.data.criteo import FIELDS
from hotline_host.data.delimited import Reader
from hotline_host.data.log import ClickLog, DataError
from hotline_host.data.sources import load

AVAZU_HEADER = (
    "id,click,hour,C1,banner_pos,site_id,site_domain,site_category,app_id,app_domain,app_category,device_id,device_ip,"
    "device_model,device_type,device_conn_type,C14,C15,C16,C17,C18,C19,C20,C21"
)


def criteo_line(label: object = 0, dense: dict[int, object] | None = None, sparse: dict[int, str] | None = None) -> str:
    """A line whose integers are 1 and whose categories are 68fd1e64, except for those given (1-based)."""
    integers = [str((dense or {}).get(number, 1)) for number in range(1, 14)]
    values = [(sparse or {}).get(number, "68fd1e64") for number in range(1, 27)]
    return "\t".join([str(label), *integers, *values])


def avazu_line(**changes: object) -> str:
    values = dict.fromkeys(AVAZU_HEADER.split(","), "1") | {"id": "10000094181510", "click": "0", "hour": "14102100"}
    assert changes.keys() <= values.keys()
    return ",".join(str(value) for value in (values | changes).values())


def write(path: Path, *lines: str, end: str = "\n") -> Path:
    data = "".join(line + end for line in lines).encode()
    path.write_bytes(gzip.compress(data) if path.suffix == ".gz" else data)
    return path


def table(log: ClickLog, number: int) -> list[int]:
    return log.indices.reshape(log.size, -1)[:, number].tolist()


@pytest.mark.parametrize("name", ["train.txt", "train.txt.gz"])
@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_criteo_reads_labels_dense_features_and_rows(tmp_path: Path, name: str, end: str) -> None:
    path = write(
        tmp_path / name,
        criteo_line(1, {1: "", 2: -3, 13: 6}, {1: "deadbeef", 26: ""}),
        criteo_line(0, {1: 0}, {1: "0000000a", 26: "05db9164"}),
        criteo_line(1, {}, {1: "deadbeef", 26: ""}),
        end=end,
    )
    log = load(f"criteo:{path}")
    assert (log.size, log.name, len(log.tables), log.skipped) == (3, f"criteo:{name}", 26, 0)
    assert log.label.tolist() == [1, 0, 1]
    assert log.dense.dtype == np.float32
    assert log.dense.shape == (3, 13)
    np.testing.assert_allclose(log.dense[0, [0, 1, 2, 12]], [0, 0, np.log(2), np.log(7)], rtol=1e-6)
    assert log.dense[1, 0] == 0
    assert table(log, 0) == [0, 1, 0]  # in order of first appearance
    assert table(log, 25) == [0, 1, 0]  # a missing value is a row of its own
    assert table(log, 5) == [0, 0, 0]
    assert log.rows.tolist() == [2, *[1] * 24, 2]
    assert log.indices.dtype == np.int64
    batch = log.batch(1, 3)
    assert batch.lengths.tolist() == [[1] * 26] * 2
    assert batch.lengths.flags.c_contiguous
    assert "missing" in log.rule


def test_criteo_reads_the_days_one_after_the_other(tmp_path: Path) -> None:
    for day, values in ((10, "cd"), (2, "ab"), (3, "ac")):
        write(tmp_path / f"day_{day}", *(criteo_line(int(day == 2), sparse={1: value}) for value in values))
    log = load(f"criteo:{tmp_path / 'day_*'}")
    assert log.label.tolist() == [1, 1, 0, 0, 0, 0] and log.name == "criteo:day_*"
    assert log.indices[::26].tolist() == [0, 1, 0, 2, 2, 3] and log.rows[0] == 4
    assert load(f"criteo:{tmp_path / 'day_*'}", samples=3).size == 3
    with pytest.raises(DataError, match=r"week_\*: no file has a name of this pattern"):
        load(f"criteo:{tmp_path / 'week_*'}")
    (tmp_path / "day_3").write_text("x\n")
    with pytest.raises(DataError, match="day_3, line 1"):
        load(f"criteo:{tmp_path / 'day_*'}")


@pytest.mark.parametrize("skip_bad", [False, True])
def test_a_byte_order_mark_is_ignored(tmp_path: Path, skip_bad: bool) -> None:
    bad = ["x"] if skip_bad else []
    path = write(tmp_path / "train.txt", "\ufeff" + criteo_line(1), *[criteo_line()] * 3, *bad)
    log = load(f"criteo:{path}", skip_bad=skip_bad)
    assert (log.label.tolist(), log.skipped) == ([1, 0, 0, 0], len(bad))
    path = write(tmp_path / "train.csv", "\ufeff" + AVAZU_HEADER, avazu_line(click=1), avazu_line(), *bad)
    log = load(f"avazu:{path}", skip_bad=skip_bad)
    assert (log.label.tolist(), log.skipped) == ([1, 0], len(bad))


def test_one_number_has_one_row_however_it_is_written(tmp_path: Path) -> None:
    spellings = ["68fd1e64", "68FD1E64", "68Fd1E64"]
    path = write(tmp_path / "case", *(criteo_line(sparse=dict.fromkeys(range(1, 27), value)) for value in spellings))
    assert load(f"criteo:{path}").rows.tolist() == [1] * 26
    values = ["a", "0a", "0000000A", "0", "00000000", "", "b"]
    log = load(f"criteo:{write(tmp_path / 'zeros', *(criteo_line(sparse={3: value}) for value in values))}")
    assert table(log, 2) == [0, 0, 0, 1, 1, 2, 3]  # a missing value is not zero
    lines = [avazu_line(site_id=f"{v}F", C14=v, C20=f"-{v}") for v in ("1", "01", "001", "0", "000")]
    log = load(f"avazu:{write(tmp_path / 'train.csv', AVAZU_HEADER, *lines, avazu_line(site_id='', C14='', C20=''))}")
    for name in ("site_id", "C14", "C20"):
        assert table(log, log.tables.index(name)) == [0, 0, 0, 1, 1, 2]


def test_one_number_has_one_row_across_blocks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lines = [criteo_line(sparse={5: "abc" if number % 3 else "00000ABC"}) for number in range(100)]
    monkeypatch.setattr(delimited, "BLOCK_BYTES", 2000)
    assert load(f"criteo:{write(tmp_path / 'train.txt', *lines)}").rows.tolist() == [1] * 26


@pytest.mark.parametrize("block", [100, 8192])
@pytest.mark.parametrize("blank", ["\n", "\n\n\n", "\r\n", "\r\n\r\n", "\n" * 300])
def test_blank_lines_at_the_end_are_ignored(
    tmp_path: Path, blank: str, block: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "train.txt"
    monkeypatch.setattr(delimited, "BLOCK_BYTES", max(block, len(criteo_line()) + 1))
    path.write_bytes(f"{criteo_line(1)}\n{criteo_line()}\n{blank}".encode())
    log = load(f"criteo:{path}", skip_bad=True)
    assert (log.size, log.skipped) == (2, 0)
    assert load(f"criteo:{path}").size == 2
    path.write_bytes(f"{criteo_line(1)}\n{blank}{criteo_line()}\nbad\n".encode())
    log = load(f"criteo:{path}", skip_bad=True)
    assert (log.size, log.skipped) == (2, blank.count("\n") + 1)
    with pytest.raises(DataError, match="line 2: 1 fields"):
        load(f"criteo:{path}")


def test_quoted_columns_are_read(tmp_path: Path) -> None:
    def quoted(line: str) -> str:
        return ",".join(f'"{value}"' for value in line.split(","))

    lines = [AVAZU_HEADER, avazu_line(click=1, site_id="ab"), avazu_line()]
    plain = load(f"avazu:{write(tmp_path / 'plain', *lines)}")
    path = write(tmp_path / "quoted", *map(quoted, lines))
    assert load(f"avazu:{path}").indices.tolist() == plain.indices.tolist()
    path = write(tmp_path / "header", quoted(lines[0]), *lines[1:])
    assert load(f"avazu:{path}").indices.tolist() == plain.indices.tolist()
    path = write(tmp_path / "bad", *map(quoted, lines), '"1,2', "", quoted(avazu_line(click=3)), quoted(lines[1]))
    log = load(f"avazu:{path}", skip_bad=True)
    assert (log.label.tolist(), log.skipped) == ([1, 0, 1], 3)


def test_no_thread_of_arrow_frees_memory_of_python() -> None:
    # A thread that does so while the interpreter exits aborts the process. Before the text was copied to memory of
    # Arrow, one read in three freed it late, on such a thread.
    threads: list[int] = []

    class Text(bytes):
        def __del__(self) -> None:
            threads.append(threading.get_ident())

    class Watched(Reader):
        def _next_block(self, left: int | None) -> bytes:
            return Text(super()._next_block(left))

    lines = "".join(f"{criteo_line(sparse={1: f'{number:08x}'})}\n" for number in range(1, 500)).encode()
    for _ in range(100):
        assert len(list(Watched(io.BytesIO(lines), "log", FIELDS, delimiter="\t").tables())) == 1
    time.sleep(0.1)
    assert len(threads) == 200  # a block and the end of the text, each time
    assert set(threads) == {threading.get_ident()}


def test_criteo_needs_no_line_end_at_the_end(tmp_path: Path) -> None:
    path = tmp_path / "train.txt"
    path.write_text(criteo_line() + "\n" + criteo_line(1))
    assert load(f"criteo:{path}").label.tolist() == [0, 1]


def test_rows_keep_the_order_of_first_appearance_across_blocks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    values = [f"{value % 37:08x}" for value in np.random.default_rng(1).integers(0, 1000, 300)]
    path = write(tmp_path / "train.txt", *(criteo_line(sparse={7: value}) for value in values))
    monkeypatch.setattr(delimited, "BLOCK_BYTES", 4096)
    log = load(f"criteo:{path}")
    order = list(dict.fromkeys(values))
    assert table(log, 6) == [order.index(value) for value in values]
    assert log.rows[6] == len(order)


@pytest.mark.parametrize("samples", [1, 7, 8, 50])
def test_samples_takes_the_first_good_lines(tmp_path: Path, samples: int) -> None:
    lines = [criteo_line(number % 2, {1: number}) for number in range(40)]
    lines[5] = "damaged"
    lines[30] = "damaged"
    path = write(tmp_path / "train.txt", *lines)
    log = load(f"criteo:{path}", samples=samples, skip_bad=True)
    good = [number for number in range(40) if number not in (5, 30)][:samples]
    np.testing.assert_allclose(log.dense[:, 0], np.log1p(good), rtol=1e-6)
    if samples <= 5:
        assert load(f"criteo:{path}", samples=samples).size == samples  # the damage is further on


@pytest.mark.parametrize(
    ("line", "message"),
    [
        (criteo_line(2), r"line 3, field label: '2' is not a label: 0 or 1"),
        (criteo_line(""), r"line 3, field label: '' is not a label"),
        (criteo_line(dense={4: "1.5"}), r"line 3, field I4: '1\.5' is not an integer"),
        (criteo_line(dense={13: "9" * 19}), r"line 3, field I13: '9+' is not an integer of at most 18 digits"),
        (criteo_line(sparse={9: "xyz"}), r"line 3, field C9: 'xyz' is not a value of 1 to 8 hexadecimal digits"),
        (criteo_line(sparse={26: "68fd1e640"}), r"line 3, field C26: '68fd1e640' is not"),
        (criteo_line(sparse={2: "caf\u00e9"}), r"line 3, field C2: 'caf.*' is not"),
        (criteo_line() + "\t", r"line 3: 41 fields; it must have 40, with tabs between them"),
        (criteo_line().replace("\t", ","), r"line 3: 1 fields; it must have 40"),
        ("", r"line 3: 1 fields; it must have 40"),
        (
            criteo_line()[2:],
            r"line 3: 39 fields; .* \(a test set lacks the label; name a log with its labels\); mend the",
        ),
        (criteo_line(sparse={7: "68fd\0"}), r"line 3, field C7: '68fd\\x00' is not"),
        (criteo_line(dense={2: '"1"'}), r"line 3, field I2: '\"1\"' is not an integer"),
        (criteo_line(sparse={3: "68\rfd"}), r"line 3: a carriage return inside the line"),
        (criteo_line() + "\r" + criteo_line(), r"line 3: 79 fields|line 3: a carriage return"),
    ],
)
def test_criteo_damage_is_named_or_skipped(tmp_path: Path, line: str, message: str) -> None:
    path = write(tmp_path / "train.txt", criteo_line(1), criteo_line(1), line, criteo_line(1), "bad")
    with pytest.raises(DataError, match=message) as caught:
        load(f"criteo:{path}")
    assert str(path) in str(caught.value)
    log = load(f"criteo:{path}", skip_bad=True)
    assert (log.label.tolist(), log.skipped) == ([1, 1, 1], 2)


def test_the_line_number_counts_lines_of_earlier_blocks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lines = [criteo_line() for _ in range(400)]
    lines[100] = "damaged"
    lines[345] = criteo_line(sparse={11: "-"})
    path = write(tmp_path / "train.txt", *lines)
    monkeypatch.setattr(delimited, "BLOCK_BYTES", 2000)
    with pytest.raises(DataError, match="line 101:"):
        load(f"criteo:{path}")
    lines[100] = criteo_line()
    write(path, *lines)
    with pytest.raises(DataError, match="line 346, field C11: '-'"):
        load(f"criteo:{path}")
    log = load(f"criteo:{path}", skip_bad=True)
    assert (log.size, log.skipped) == (399, 1)


@pytest.mark.parametrize("source", ["criteo", "avazu"])
def test_files_that_cannot_be_read(tmp_path: Path, source: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(DataError, match="nowhere: no such file; name the log by its path"):
        load(f"{source}:{tmp_path}/nowhere")
    with pytest.raises(DataError, match="cannot be read"):
        load(f"{source}:{tmp_path}")
    whole = write(tmp_path / "log.gz", AVAZU_HEADER, *(avazu_line(C21=number) for number in range(999)))
    torn = tmp_path / "torn.gz"
    torn.write_bytes(whole.read_bytes()[:-2000])
    with pytest.raises(DataError, match=r"torn\.gz: damaged gzip"):
        load(f"{source}:{torn}", skip_bad=True)
    plain = tmp_path / "plain.gz"
    plain.write_text(criteo_line())
    with pytest.raises(DataError, match=r"plain\.gz: damaged gzip"):
        load(f"{source}:{plain}")
    with pytest.raises(DataError, match="home directory.*; write the whole path"):
        load(f"{source}:~nobody-of-that-name/log")
    with pytest.raises(DataError, match="cannot be read .File name too long"):
        load(f"{source}:{tmp_path / ('x' * 300)}")


def test_a_file_without_samples(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"no sample in it \(0 damaged"):
        load(f"criteo:{write(tmp_path / 'empty')}")
    with pytest.raises(DataError, match=r"no sample in it \(2 damaged"):
        load(f"criteo:{write(tmp_path / 'bad', 'x', 'y')}", skip_bad=True)
    with pytest.raises(DataError, match=r"no sample in it \(2 damaged .*, the first being line 1: 39 fields; .*label"):
        load(f"criteo:{write(tmp_path / 'test', *[criteo_line()[2:]] * 2)}", skip_bad=True)
    with pytest.raises(DataError, match="no sample in it"):
        load(f"avazu:{write(tmp_path / 'header', AVAZU_HEADER)}")
    with pytest.raises(DataError, match=r"no sample in it, nor a header; line 1 must name click, hour"):
        load(f"avazu:{tmp_path / 'empty'}")
    for blank in ("\n", "\r\n\r\n"):
        (tmp_path / "blank").write_text(blank)
        with pytest.raises(DataError, match=r"no sample in it \(0 damaged"):
            load(f"criteo:{tmp_path / 'blank'}")


def test_a_line_without_end_is_no_log(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "binary"
    path.write_bytes(b"\0" * 10_000)
    monkeypatch.setattr(delimited, "BLOCK_BYTES", 4096)
    with pytest.raises(DataError, match="line 1: longer than 4096 bytes"):
        load(f"criteo:{path}")


def test_progress_reaches_the_size_of_the_file(tmp_path: Path) -> None:
    path = write(tmp_path / "train.txt", *[criteo_line()] * 10)
    calls: list[tuple[str, int, int]] = []
    load(f"criteo:{path}", progress=lambda *call: calls.append(call))
    assert calls[-1] == ("reading train.txt", path.stat().st_size, path.stat().st_size)


def test_avazu_has_22_tables_with_the_hour_of_the_day(tmp_path: Path) -> None:
    path = write(
        tmp_path / "train.csv",
        AVAZU_HEADER,
        avazu_line(hour="14102100", click=1, C20=-1, site_id="1fbe01fe"),
        avazu_line(hour="14102123", C20=100084, site_id="85f751fd"),
        avazu_line(hour="14102200", C20=-1, site_id="1fbe01fe"),
    )
    log = load(f"avazu:{path}")
    assert log.tables == AVAZU_TABLES
    assert (log.size, len(log.tables), log.dense.shape) == (3, 22, (3, 0))
    assert log.label.tolist() == [1, 0, 0]
    assert table(log, 0) == [0, 1, 0]  # two days, the same hour
    for name in ("C20", "site_id"):
        assert table(log, log.tables.index(name)) == [0, 1, 0]
    assert log.rows.sum() == 22 + 3


def test_avazu_columns_are_found_by_name(tmp_path: Path) -> None:
    def swapped(line: str) -> str:
        return ",".join(reversed([*line.split(","), "extra"]))

    lines = [AVAZU_HEADER, avazu_line(click=1, C14=5), avazu_line(C14=6)]
    one = load(f"avazu:{write(tmp_path / 'one', *lines)}")
    two = load(f"avazu:{write(tmp_path / 'two', *map(swapped, lines))}")
    np.testing.assert_array_equal(one.indices, two.indices)
    assert one.label.tolist() == two.label.tolist() == [1, 0]


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        ([AVAZU_HEADER.replace("click,", "")], r"line 1: the header lacks click, as in a test set; name a log"),
        (
            [AVAZU_HEADER.replace("C14,", "")],
            r"line 1: the header .* lacks C14; it must name click, hour, C1, .*, with co",
        ),
        ([AVAZU_HEADER.replace(",", "\t")], r"line 1: the header .* lacks click, hour, .*, with commas between them"),
        (["\ufeff" + AVAZU_HEADER, avazu_line(click=7)], r"line 2, field click: '7' is not a click"),
        ([f'"{AVAZU_HEADER.replace(",", chr(34) + "," + chr(34))}"', '"1,1'], r"line 2: quotes that do not pair"),
        ([avazu_line()], r"line 1: the header .* lacks click, hour"),
        ([AVAZU_HEADER, avazu_line(click="yes")], r"line 2, field click: 'yes' is not a click: 0 or 1"),
        ([AVAZU_HEADER, avazu_line(hour="14102124")], r"field hour: '14102124' is not an hour written YYMMDDHH"),
        ([AVAZU_HEADER, avazu_line(C18="x")], r"line 2, field C18: 'x' is not an integer"),
        ([AVAZU_HEADER, avazu_line(device_ip="g")], r"line 2, field device_ip: 'g' is not a value"),
        ([AVAZU_HEADER, avazu_line(), avazu_line() + ","], r"line 3: 25 fields; it must have 24, with commas"),
    ],
)
def test_avazu_damage_is_named(tmp_path: Path, lines: list[str], message: str) -> None:
    path = write(tmp_path / "train.csv", *lines)
    with pytest.raises(DataError, match=message):
        load(f"avazu:{path}")


def test_avazu_skips_and_counts(tmp_path: Path) -> None:
    path = write(tmp_path / "train.csv", AVAZU_HEADER, avazu_line(click=1), avazu_line(hour=""), "x", avazu_line())
    log = load(f"avazu:{path}", skip_bad=True)
    assert (log.label.tolist(), log.skipped) == ([1, 0], 2)
