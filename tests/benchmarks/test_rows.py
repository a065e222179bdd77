import shutil
from pathlib import Path

import pytest

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"
RESULTS = BENCHMARKS / "results"

pytestmark = pytest.mark.skipif(not BENCHMARKS.is_dir(), reason="the sdist has no benchmarks")


@pytest.fixture
def rows(script):
    return script("_rows")


@pytest.mark.parametrize("name", sorted(path.name for path in RESULTS.glob("*.csv")))
def test_records_are_written_as_they_were_read(rows, tmp_path, name):
    rows.write(rows.read(RESULTS / name), tmp_path / name)
    assert (tmp_path / name).read_bytes() == (RESULTS / name).read_bytes()


def test_a_killed_run_keeps_the_rows_before(rows, tmp_path, capsys):
    def measure():
        yield {"set": "a", "AUC": 0.5}
        yield {"set": "b", "AUC": 0.75}
        raise KeyboardInterrupt

    path = tmp_path / "new" / "rows.csv"
    with pytest.raises(KeyboardInterrupt):
        rows.write_each(measure(), path, [{"set": "z", "AUC": "1"}])
    assert path.read_bytes() == b"set,AUC\nz,1\na,0.5\nb,0.75\n"
    assert capsys.readouterr().out == "a 0.5\nb 0.75\n"


def test_a_table_without_rows_of_this_run_stays(rows, tmp_path):
    path = tmp_path / "rows.csv"
    rows.write([{"set": "a"}], path)
    rows.write_each([], path)
    assert path.read_text() == "set\na\n"


@pytest.mark.parametrize(
    ("record", "tables"),
    [
        ("verdict.csv", ["verdict_table.csv"]),
        ("verdict_synthetic.csv", ["verdict_synthetic_table.csv"]),
        ("verdict_bands.csv", ["verdict_bands_table.csv"]),
        ("drift.csv", ["drift_table.csv"]),
        ("selection.csv", ["selection_table.csv", "selection_families.csv"]),
    ],
)
def test_the_tables_of_the_documentation_are_those_of_the_records(script, tmp_path, record, tables):
    shutil.copy(RESULTS / record, tmp_path)
    if record == "drift.csv":
        script("_verdict_tables").write_drift_table(tmp_path)
    elif record == "selection.csv":
        script("_selection_tables").summarise(tmp_path / record, None, script("selection").DEFAULT)
    else:
        script("_verdict_tables").write_tables(tmp_path)
    for table in tables:
        assert (tmp_path / table).read_bytes() == (RESULTS / table).read_bytes()


def test_a_selection_without_records_is_refused(script, tmp_path):
    with pytest.raises(SystemExit, match=r"selection\.csv has no rows: run the configurations"):
        script("_selection_tables").summarise(tmp_path / "selection.csv", None, "ssim")


def test_precisions_are_measured_and_not_again(script, data, tmp_path, monkeypatch):
    precision = script("precision")
    sets = script("_sets").SETS
    monkeypatch.setitem(sets, "leather", sets["leather"]._replace(patches=20))
    options = f"--data {data} --out {tmp_path} --csv {tmp_path / 'rows.csv'} --sets leather"
    monkeypatch.setattr(
        "sys.argv", ["precision.py", *options.split(), "--seeds=0", "--precisions=float32"]
    )
    precision.main()
    (row,) = script("_rows").read(tmp_path / "rows.csv")
    assert tuple(row) == precision.COLUMNS
    assert (row["set"], row["precision"], row["patches"], row["seed"]) == (
        *("leather", "float32", "20", "0"),
    )
    assert not list(precision.missing_runs(precision.parse_arguments()))
