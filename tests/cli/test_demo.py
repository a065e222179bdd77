import pytest
from skimage.io import imread

from sk_ssimae.cli import demo


def test_demo_draws_its_picture(monkeypatch, tmp_path, capsys):
    # The whole program at a budget that shows nothing but that it runs.
    monkeypatch.setattr(demo, "BUDGET", {"patch_size": 32, "n_patches": 32, "max_epochs": 1})
    areas = demo.main(tmp_path / "demo.png")
    assert set(areas) == {"SSIMAutoencoderSegmenter", "L2AutoencoderSegmenter"}
    output = capsys.readouterr().out
    assert "train_loss" in output
    for name, area in areas.items():
        assert f"{name:<26}{area:.3f}" in output
    assert imread(tmp_path / "demo.png").shape[1] == 1280


@pytest.mark.slow
def test_ssim_beats_l2(tmp_path):
    areas = demo.main(tmp_path / "demo.png")
    assert areas["SSIMAutoencoderSegmenter"] > areas["L2AutoencoderSegmenter"] + 0.05
