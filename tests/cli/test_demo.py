import pytest
from skimage.io import imread

from sk_ssimae.cli import demo
from sk_ssimae.estimators._net import ReconstructionNet
from sk_ssimae.persistence import load

TINY = ["--patch-size=32", "--patches=32", "--set=autoencoder__max_epochs=1"]


@pytest.fixture
def small(monkeypatch):
    """Run the whole program, with a budget that only shows that it runs."""
    monkeypatch.setattr(demo, "OPTIONS", TINY)
    for name in ("N_GOOD", "N_DEFECTIVE", "N_HELD"):
        monkeypatch.setattr(demo, name, 3)


def test_the_demo_runs_the_commands(small, tmp_path, capsys):
    results = demo.main(tmp_path / "demo")
    assert set(results) == set(demo.LEAST)
    folder = tmp_path / "demo"
    output = capsys.readouterr().out
    for command in ("fit", "evaluate", "report"):
        assert f"$ sk-ssimae {command} {folder}" in output
    assert "pixel ROC AUC" in output
    assert {path.name for path in folder.iterdir()} == demo._OWN
    assert (folder / "report.html").read_text().startswith("<!DOCTYPE html>")
    assert imread(folder / "masks" / "00.png").max() == 255
    assert set(load(folder / "fabric.safetensors").named_segmenters_) == {
        *("autoencoder", "dictionary", "coarse_dictionary")
    }
    demo.main(folder)  # Again, over its own files.


def test_its_commands_are_escaped(small, tmp_path, capsys):
    demo.main(tmp_path / "red\x1b[31m")
    output = capsys.readouterr().out
    assert output.count(r"red\x1b[31m") > 5
    assert "\x1b" not in output


def test_it_fails_if_too_little_is_found(run, small, tmp_path, monkeypatch):
    good = dict.fromkeys(demo.LEAST, 0.96)
    demo.check(good)
    for name, least in demo.LEAST.items():
        text = f"the {name} must be at least {least} in the demo, got 0.400"
        with pytest.raises(SystemExit, match=text):
            demo.check(good | {name: 0.4})
    monkeypatch.setattr(demo, "main", lambda folder: dict.fromkeys(demo.LEAST, 0.4))
    assert run("demo", tmp_path / "demo").exit_code == 1


def test_a_failing_command_ends_it(run, small, tmp_path, monkeypatch):
    monkeypatch.setattr(demo, "OPTIONS", ["--patch-size=20"])
    result = run("demo", tmp_path / "demo")
    assert result.exit_code == 1
    assert "patch_size must be a multiple of 16" in result.stderr
    assert "sk-ssimae evaluate" not in result.stdout


def test_an_interrupt_ends_it(run, small, monkeypatch, tmp_path):
    def interrupt(self, net, **kwargs):
        raise KeyboardInterrupt

    monkeypatch.setattr(ReconstructionNet, "on_epoch_begin", interrupt)
    result = run("demo", tmp_path / "demo")
    assert result.exit_code == 130
    assert "sk-ssimae evaluate" not in result.stdout
    assert not (tmp_path / "demo" / "report.html").exists()


def test_other_folders_are_refused(run, tmp_path):
    (tmp_path / "photo.png").write_bytes(b"mine")
    result = run("demo", tmp_path)
    assert result.exit_code == 1
    assert "FOLDER must be new or empty" in result.stderr
    assert "'photo.png'" in result.stderr
    result = run("demo", tmp_path / "photo.png")
    assert result.exit_code == 1
    assert "FOLDER must be a folder, got the file" in result.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["photo.png"]
