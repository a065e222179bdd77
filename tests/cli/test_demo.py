import pytest
from skimage.io import imread

from sk_ssimae.cli import demo


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
