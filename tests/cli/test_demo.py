import pytest
from skimage.io import imread

from sk_ssimae.cli import demo
from sk_ssimae.estimators._net import ReconstructionNet


def test_demo_draws_its_picture(monkeypatch, tmp_path, capsys):
    # The whole program, with a budget that only shows that it runs.
    monkeypatch.setattr(demo, "BUDGET", {"patch_size": 32, "n_patches": 32, "max_epochs": 1})
    areas = demo.main(tmp_path / "demo.png")
    assert set(areas) == {"SSIMAutoencoderSegmenter", "L2AutoencoderSegmenter"}
    output = capsys.readouterr().out
    assert "train_loss" in output
    for name, area in areas.items():
        assert f"{name:<26}{area:.3f}" in output
    assert imread(tmp_path / "demo.png").shape[1] == 1280


def test_demo_fails_if_ssim_is_not_ahead():
    demo.check({"SSIMAutoencoderSegmenter": 0.96, "L2AutoencoderSegmenter": 0.9})
    with pytest.raises(
        SystemExit, match=r"must exceed that of L2 by at least 0.02, got 0.010 instead"
    ):
        demo.check({"SSIMAutoencoderSegmenter": 0.91, "L2AutoencoderSegmenter": 0.9})


def test_an_interrupt_ends_the_demo(run, monkeypatch, tmp_path):
    def interrupt_second_epoch(self, net, **kwargs):
        begin(self, net, **kwargs)
        if len(net.history) == 2:
            raise KeyboardInterrupt

    begin = ReconstructionNet.on_epoch_begin
    monkeypatch.setattr(demo, "BUDGET", {"patch_size": 32, "n_patches": 32, "max_epochs": 3})
    monkeypatch.setattr(ReconstructionNet, "on_epoch_begin", interrupt_second_epoch)
    result = run("demo", tmp_path / "demo.png")
    assert result.exit_code == 130
    assert result.stderr == "error: interrupted.\n"
    assert "L2AutoencoderSegmenter" not in result.stdout
    assert not (tmp_path / "demo.png").exists()
