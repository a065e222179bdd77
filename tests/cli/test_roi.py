import json
import re

import numpy as np
import pytest
from skimage.io import imread

from sk_ssimae.cli import _roi
from sk_ssimae.cli._roi import RegionsOption
from sk_ssimae.persistence import load

SHAPE = (40, 56)


@pytest.fixture(scope="module")
def inside():
    mask = np.zeros(SHAPE, dtype=bool)
    mask[4:36, 6:50] = True
    return mask


@pytest.fixture(scope="module")
def roi_file(tmp_path_factory, inside, write):
    path = tmp_path_factory.mktemp("roi") / "inspected.png"
    write(path, inside)
    return path


@pytest.fixture(scope="module")
def model(run, tmp_path_factory, folders, tiny_options, roi_file):
    path = tmp_path_factory.mktemp("model") / "model.safetensors"
    result = run("fit", folders.good, "-o", path, "--roi", roi_file, *tiny_options)
    assert result.exit_code == 0, result.output
    return path


def test_a_file_a_folder_and_a_rectangle(folders, inside, roi_file, tmp_path, write):
    images = sorted(folders.defective.iterdir())
    for image in images:
        write(tmp_path / f"{image.stem}_mask.png", inside)
    write(tmp_path / "of_no_image.png", inside)
    for text in (str(roi_file), str(tmp_path), "6,4,44,32"):
        option = RegionsOption(text, images)
        for image in images:
            np.testing.assert_array_equal(option.mask(image), inside)
    assert RegionsOption(None, images).mask(images[0]) is None


def test_all_commands_take_it(run, model, folders, inside, roi_file, tmp_path):
    images = sorted(folders.defective.iterdir())
    segmenter = load(model)
    out = tmp_path / "out"
    assert run("predict", model, folders.defective, "-o", out, "--roi", "6,4,44,32").exit_code == 0
    for image, mask in zip(images, segmenter.predict(images, roi=inside), strict=True):
        np.testing.assert_array_equal(imread(out / "masks" / f"{image.stem}.png") > 0, mask)
    # The results of another region are not resumed.
    again = run("predict", model, folders.defective, "-o", out, "--roi", roi_file)
    assert again.exit_code == 1
    assert "contains outputs of another region of interest (--roi '6,4,44,32')" in again.stderr
    scores = tmp_path / "scores.json"
    evaluated = run(
        *("evaluate", model, folders.defective, folders.masks, "--good", folders.good),
        *("--roi", roi_file, "--json", scores),
    )
    assert evaluated.exit_code == 0, evaluated.output
    files = [*sorted(folders.good.iterdir()), *images]
    truth = [np.zeros(SHAPE, dtype=bool)] * 3
    truth += [imread(folders.masks / f"{image.stem}_mask.png") > 0 for image in images]
    found = json.loads(scores.read_text())
    assert found["pixel_roc_auc"] == pytest.approx(segmenter.score(files, truth, roi=inside))
    masks = np.stack(segmenter.predict(files, roi=inside))
    bad = np.stack(truth) & inside
    assert found["pixel_recall"] == pytest.approx(masks[bad].mean())
    assert found["pixel_fpr"] == pytest.approx(masks[inside & ~bad].mean())
    page = tmp_path / "report.html"
    reported = run("report", model, folders.defective, "-o", page, "--roi", roi_file)
    assert reported.exit_code == 0, reported.output
    block = re.search(r'id="overview">(.*?)</script>', page.read_text(), re.DOTALL)
    assert block is not None
    scores = {entry["name"]: entry["score"] for entry in json.loads(block[1])["images"]}
    expected = segmenter.score_images(images, roi=inside)
    assert [scores[image.stem] for image in images] == pytest.approx(expected)


def test_masks_may_lie_with_their_images(folders, inside, tmp_path, write):
    for image in folders.good.iterdir():
        (tmp_path / image.name).write_bytes(image.read_bytes())
        write(tmp_path / f"{image.stem}_mask.png", inside)
    images = [tmp_path / f"{index}.png" for index in range(3)]
    option = RegionsOption(str(tmp_path), images)
    assert option.inputs() == [tmp_path / f"{index}_mask.png" for index in range(3)]
    np.testing.assert_array_equal(option.mask(images[0]), inside)


def test_a_wrong_region_leaves_nothing_behind(run, model, folders, tmp_path):
    given = ["predict", model, folders.defective, "-o", tmp_path / "out"]
    assert run(*given, "--roi", "0,0,500,50").exit_code == 1
    assert run(*given, "--roi", "6,4,44,32").exit_code == 0
    assert run(*given, "--roi", "0,0,500,50").exit_code == 1
    assert run(*given, "--roi", "6,4,44,32").exit_code == 0


def test_outputs_without_their_scores_are_kept(run, model, folders, tmp_path):
    given = ["predict", model, folders.defective, "-o", tmp_path / "out"]
    assert run(*given).exit_code == 0
    (tmp_path / "out" / "scores.csv").unlink()
    masks = {*(tmp_path / "out" / "masks").iterdir()}
    assert run(*given, "--roi", "6,4,44,32").exit_code == 1
    assert {*(tmp_path / "out" / "masks").iterdir()} == masks != set()


def test_more_images_are_added_to_outputs_of_one_mask(run, model, folders, roi_file, tmp_path):
    first, second, *_ = sorted(folders.defective.iterdir())
    given = ["-o", tmp_path / "out", "--roi", roi_file]
    assert run("predict", model, first, *given).exit_code == 0
    result = run("predict", model, first, second, *given)
    assert result.exit_code == 0, result.output
    assert "1 image already complete" in result.stdout


def test_masks_of_fit_are_read_one_at_a_time(folders, inside, roi_file, monkeypatch):
    read = []
    monkeypatch.setattr(_roi, "read_mask", lambda path: read.append(path) or inside)
    images = sorted(folders.good.iterdir())
    masks = RegionsOption(str(roi_file), images).masks()
    assert read == []
    for index in range(len(images)):
        np.testing.assert_array_equal(masks[index], inside)
    assert read == [roi_file]  # One mask of all images is read once.
    assert RegionsOption(None, images).masks() is None


def test_calibrate_and_update_take_it(run, model, folders, inside, roi_file, tmp_path):
    images = sorted(folders.good.iterdir())
    new = tmp_path / "model.safetensors"
    result = run("calibrate", model, folders.good, "-o", new, "--roi", roi_file)
    assert result.exit_code == 0, result.output
    expected = load(model).calibrate(images, roi=inside)
    assert load(new).threshold_ == pytest.approx(expected.threshold_)
    result = run("update", model, folders.good, "-o", new, "--roi", roi_file, "--overwrite")
    assert result.exit_code == 0, result.output
    expected = load(model)
    assert expected.check_drift(images, roi=inside).advice() in result.stdout
    expected.partial_fit(images, roi=inside)
    assert load(new).threshold_ == pytest.approx(expected.threshold_)
    replaced = run("calibrate", model, folders.good, "-o", roi_file, "--roi", roi_file)
    assert replaced.exit_code == 1


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("20,0,40,40", "--roi: the rectangle of columns 20 to 59 and rows 0 to 39 must lie in"),
        ("0,0,0,40", "--roi: the rectangle 0,0,0,40 must have pixels"),
        ("nowhere.png", "--roi must be a mask image, a folder of masks or X,Y,WIDTH,HEIGHT"),
    ],
)
def test_wrong_values_are_refused(run, model, folders, tmp_path, text, message):
    result = run("predict", model, folders.defective, "-o", tmp_path / "out", "--roi", text)
    assert result.exit_code == 1
    assert message in " ".join(result.stderr.split())


def test_wrong_masks_are_named(folders, tmp_path, write):
    image = sorted(folders.defective.iterdir())[0]
    small, empty = tmp_path / "small.png", tmp_path / "empty.png"
    write(small, np.ones((8, 8), dtype=bool))
    write(empty, np.zeros(SHAPE, dtype=bool))
    with pytest.raises(ValueError, match=r"small.png' must have the height and width of"):
        RegionsOption(str(small), [image]).mask(image)
    with pytest.raises(ValueError, match=r"empty.png' must mark at least one pixel"):
        RegionsOption(str(empty), [image]).mask(image)
    with pytest.raises(ValueError, match="must contain one mask for each image"):
        RegionsOption(str(tmp_path), [image])
