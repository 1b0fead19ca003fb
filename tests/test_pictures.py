"""Folders of anybody's pictures: what is usable is used, what is not is named, nothing crashes and nothing is changed."""

from __future__ import annotations

import io
import json
import os
import struct
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as some
from PIL import Image

from conftest import Command, one_line
from gannet.data import catalog, images, pictures
from gannet.errors import Wrong

rng = np.random.default_rng(0)


def noise(wide: int = 24, high: int = 24, channels: int = 3) -> Image.Image:
    shape = (high, wide) if channels == 1 else (high, wide, channels)
    return Image.fromarray(rng.integers(0, 256, shape, dtype=np.uint8))


def encoded(picture: Image.Image, kind: str = "PNG", **words: object) -> bytes:
    stream = io.BytesIO()
    picture.save(stream, format=kind, **words)
    return stream.getvalue()


def good(folder: Path, n: int = 20, channels: int = 3) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for i in range(n):
        noise(channels=channels).save(folder / f"good{i:02}.png")
    return folder


def read(place: Path, pixels: int | None = 16) -> pictures.Gallery:
    pictures._read.cache_clear()
    return pictures.read(place, pixels, quiet=True)


def bomb(wide: int, high: int) -> bytes:
    """A PNG whose head claims a size that its body does not have."""

    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    head = struct.pack(">IIBBBBB", wide, high, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(b"\0" * 100)) + chunk(b"IEND", b"")


def film(kind: str) -> bytes:
    return encoded(noise(), kind, save_all=True, append_images=[noise(), noise()])


def flipped(data: bytes, at: int) -> bytes:
    return data[:at] + bytes([data[at] ^ 0xFF]) + data[at + 1 :]


def floats(low: float, high: float, hole: bool = False) -> bytes:
    values = rng.uniform(low, high, (24, 24)).astype(np.float32)
    if hole:
        values[3, 3] = np.nan
    return encoded(Image.fromarray(values), "TIFF")


PNG = encoded(noise())
TURNED = Image.Exif()
TURNED[0x0112] = 6
#: name -> (file, its bytes, the reason for which it is left out, or None where it is used)
BAD: dict[str, tuple[str, bytes, str | None]] = {
    "truncated JPEG": ("cut.jpg", encoded(noise(90, 90), "JPEG")[:700], "damaged"),
    "truncated PNG": ("cut.png", encoded(noise(90, 90))[:700], "damaged"),
    "a bit flipped in a PNG": ("bit.png", flipped(PNG, len(PNG) // 2), "damaged"),
    "no bytes": ("empty.png", b"", "no picture"),
    "text with a picture's name": ("poem.png", b"shall I compare thee", "no picture"),
    "a web page saved as a picture": ("page.jpg", b"<!doctype html><html></html>", "no picture"),
    "one pixel": ("dot.png", encoded(noise(1, 1)), "1x1 pixels: too small"),
    "a line": ("line.png", encoded(noise(20_000, 3)), "20,000x3 pixels: too small"),
    "a scroll": ("scroll.png", encoded(noise(1_000, 10)), "too long for a square"),
    "a bomb": ("bomb.png", bomb(60_000, 60_000), "too large"),
    "a bomb of decent size": ("small bomb.png", bomb(3_000, 3_000), "damaged"),
    "numbers that are none": ("nan.tif", floats(0, 1, hole=True), "no numbers"),
    "heights": ("heights.tif", floats(-4000, 8000), "no known scale"),
    "a copy": ("copy.png", b"", "the same as good00.png"),
    "CMYK": ("print.jpg", encoded(noise().convert("CMYK"), "JPEG"), None),
    "16 bits": ("deep.png", encoded(Image.fromarray(rng.integers(0, 65536, (24, 24)).astype(np.uint16))), None),
    "32 bits": ("deeper.tif", encoded(Image.fromarray(rng.integers(0, 65536, (24, 24)).astype(np.int32)), "TIFF"), None),
    "floats from 0 to 1": ("float.tif", floats(0, 1), None),
    "floats from 0 to 255": ("float255.tif", floats(0, 255), None),
    "animated GIF": ("film.gif", film("GIF"), None),
    "animated WebP": ("film.webp", film("WEBP"), None),
    "one bit": ("bit.bmp", encoded(noise(channels=1).convert("1"), "BMP"), None),
    "grey with alpha": ("la.png", encoded(noise(24, 24, 4).convert("LA")), None),
    "palette": ("palette.png", encoded(noise().quantize(16)), None),
    "palette with a transparent colour": ("hole.png", encoded(noise().quantize(16), transparency=3), None),
    "YCbCr": ("ycc.tif", encoded(noise().convert("YCbCr"), "TIFF"), None),
    "a PNG that calls itself JPEG": ("liar.jpg", encoded(noise()), None),
    "capitals": ("LOUD.PNG", encoded(noise()), None),
    "PPM": ("plain.ppm", encoded(noise(), "PPM"), None),
    "rubbish behind a JPEG": ("tail.jpg", encoded(noise(), "JPEG") + b"rubbish" * 99, None),
    "not square": ("wide.png", encoded(noise(90, 30)), None),
    "large": ("large.jpg", encoded(noise(1500, 1200), "JPEG"), None),
    "turned by its camera": ("turned.jpg", encoded(noise(30, 60), "JPEG", exif=TURNED), None),
    "no EXIF at all": ("none.png", encoded(noise(), exif=b"Exif\0\0garbage, and no header"), None),
    "broken EXIF": ("exif.jpg", encoded(noise(), "JPEG", exif=b"Exif\0\0MM\0*\0\0\xff\xff"), None),
    "a wrong colour profile": ("profile.png", encoded(noise(), icc_profile=b"no profile at all"), None),
    "Chinese": ("画像 一.png", encoded(noise()), None),
    "Arabic": ("صورة.png", encoded(noise()), None),
    "emoji": ("🦤.png", encoded(noise()), None),
    "composed otherwise": ("e\u0301te\u0301.png", encoded(noise()), None),
    "spaces and quotes": (' a "b" \'c\' .png', encoded(noise()), None),
    "a name of two lines": ("two\nlines.png", encoded(noise()), None),
    "a terminal's language": ("\x1b[31mred.png", b"", "no picture"),
}  # fmt: skip


@pytest.mark.parametrize("case", BAD)
def test_one_bad_file_among_good_ones(case: str, tmp_path: Path) -> None:
    name, data, reason = BAD[case]
    folder = good(tmp_path / "mine")
    if case == "a copy":
        data = (folder / "good00.png").read_bytes()
        name = "later.png"
    (folder / name).write_bytes(data)
    before = {path: path.read_bytes() for path in folder.iterdir()}
    gallery = read(folder)
    assert {path: path.read_bytes() for path in folder.iterdir()} == before
    if reason is None:
        assert gallery.left_out == [] and len(gallery.x_NCHW) == 21
    else:
        ((left, why),) = gallery.left_out
        assert left == pictures.shown(name) and reason in why and len(gallery.x_NCHW) == 20
    for line in pictures.told(gallery).splitlines():
        assert line.isprintable()


def test_names_that_are_no_text(tmp_path: Path) -> None:
    folder = good(tmp_path / "mine")
    with open(os.fsencode(folder) + b"/\xff\xfe.png", "wb") as file:
        file.write(b"no picture")
    assert read(folder).left_out == [["\\xff\\xfe.png", "no picture, whatever its name says"]]


def test_what_is_no_ordinary_file(tmp_path: Path) -> None:
    folder = good(tmp_path / "mine" / "inside").parent
    os.mkfifo(folder / "pipe.png")
    os.symlink("nowhere.png", folder / "gone.png")
    os.symlink(folder, folder / "inside" / "loop")
    os.symlink(folder / "inside", folder / "again")
    (folder / "folder.png").mkdir()
    (folder / ".hidden.png").write_bytes(b"")
    (folder / "__MACOSX").mkdir()
    (folder / "__MACOSX" / "x.png").write_bytes(b"")
    gallery = read(folder)
    links = "a link to a folder that was read already"
    told = dict(gallery.left_out)
    assert told.pop("gone.png") == "a link to nothing"
    assert told.pop("pipe.png") == "no ordinary file"
    assert set(told.values()) == {links} and len(gallery.x_NCHW) == 20


def test_links_come_after_folders_that_are_where_they_seem_to_be(tmp_path: Path) -> None:
    for kind in ("b/one", "c/two"):
        good(tmp_path / "mine" / kind, 10)
    os.symlink("b", tmp_path / "mine" / "a")  # in the order of names it comes first
    elsewhere = good(tmp_path / "elsewhere", 10)
    os.symlink(elsewhere, tmp_path / "mine" / "d")
    gallery = read(tmp_path / "mine")
    assert gallery.classes == ["b", "c", "d"] and len(gallery.x_NCHW) == 30
    assert gallery.left_out == [["a", "a link to a folder that was read already"]]


def test_what_we_wrote_is_not_read_back(tmp_path: Path) -> None:
    folder = good(tmp_path / "mine")
    before = read(folder)
    for place, note, said in (
        ("runs/images-1", "recipe.json", '{"format": 4}'),
        ("preflight/images", "preflight.json", '{"checks": []}'),
        ("boxes", "predicted.json", '{"files": []}'),
    ):
        good(folder / place / "samples", 2)
        (folder / place / note).write_text(said)
    gallery = read(folder)
    assert gallery.names_N == before.names_N
    places = ["boxes", "preflight/images", "runs/images-1"]
    assert gallery.left_out == [[place, "written by gannet, no data"] for place in places]
    with pytest.raises(Wrong, match=r"there is no picture here: .*images-1: written by gannet"):
        read(folder / "runs")
    good(folder / "cakes", 1)
    (folder / "cakes" / "recipe.json").write_text('{"flour": 500}')  # somebody's own
    assert "cakes/good00.png" in read(folder).names_N


def test_beside_the_folders_for_training_and_tests_nothing_is_learnt(tmp_path: Path) -> None:
    for split in ("train", "val", "pred"):
        good(tmp_path / "mine" / split, 12)
    (tmp_path / "mine" / "cover.png").write_bytes((tmp_path / "mine" / "val" / "good03.png").read_bytes())
    gallery = read(tmp_path / "mine")
    where = [name.split("/")[0] for name in gallery.names_N]
    assert where == ["train"] * 12 + ["val"] * 12 and gallery.test_N.tolist() == [False] * 12 + [True] * 12
    outside = ["cover.png", *(f"pred/good{i:02}.png" for i in range(12))]
    assert dict(map(tuple, gallery.left_out)) == dict.fromkeys(outside, "neither in train nor in test")


def test_a_test_picture_of_a_class_that_is_not_learnt_tests_nothing(tmp_path: Path) -> None:
    for place in ("train/cat", "train/dog", "test/cat", "test/dog", "test/wolf"):
        good(tmp_path / "mine" / place, 8)
    for number, place in enumerate(("train/cat", "train/dog", "test/cat", "test/dog", "test/wolf")):
        for k in range(8):  # no two the same
            path = tmp_path / "mine" / place / f"good{k:02}.png"
            image = np.asarray(Image.open(path)).copy()
            image[0, 0] = 10 * number + k
            Image.fromarray(image).save(path)
    gallery = read(tmp_path / "mine")
    assert gallery.classes == ["cat", "dog"] and int(gallery.test_N.sum()) == 16 == int((~gallery.test_N).sum())
    wolves = [f"test/wolf/good{k:02}.png" for k in range(8)]
    assert dict(map(tuple, gallery.left_out)) == dict.fromkeys(wolves, "of a class of which there is nothing to learn from")


def test_pictures_of_a_kind_that_is_not_read_are_named(tmp_path: Path) -> None:
    folder = good(tmp_path / "mine")
    (folder / "holiday.HEIC").write_bytes(b"ftypheic")
    (folder / "notes.txt").write_text("no picture")
    with zipfile.ZipFile(tmp_path / "mine.zip", "w") as archive:
        for file in sorted(folder.iterdir()):
            archive.write(file, file.name)
    for place in (folder, tmp_path / "mine.zip"):
        ((name, why),) = read(place).left_out
        assert name == "holiday.HEIC" and "save it as JPEG" in why


def test_pictures_of_one_colour_all_over_are_named(tmp_path: Path) -> None:
    folder = good(tmp_path / "mine")
    Image.new("RGB", (24, 24), (9, 9, 9)).save(folder / "black.png")
    assert "of one colour all over: black.png" in read(folder).notes


def test_what_may_not_be_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = good(tmp_path / "mine")
    allowed = pictures._regular

    def refuse(path: str) -> object:
        if path.endswith("good03.png"):
            raise PermissionError(13, "Permission denied", path)
        return allowed(path)

    monkeypatch.setattr(pictures, "_regular", refuse)
    assert read(folder).left_out == [["good03.png", "not allowed to read it"]]


@pytest.mark.parametrize(
    ("make", "parts"),
    [
        (lambda folder: None, ["there is no picture here", "mine"]),
        (lambda folder: (folder / "notes.txt").write_text("x"), ["there is no picture here", "1 other files"]),
        (lambda folder: good(folder, 1), ["1 usable pictures are too few", "at least 16"]),
        (lambda folder: (folder / "x.png").write_bytes(b"x"), ["0 usable", "x.png (no picture, whatever its name says)"]),
        (lambda folder: [(folder / f"{i}.png").write_bytes(b"x") for i in range(30)], ["0 usable", "0.png", "and 29 more"]),
        (lambda folder: [(folder / f"{i}.png").write_bytes(PNG) for i in range(30)], ["1 usable", "the same as 0.png"]),
    ],
)
def test_folders_of_which_nothing_can_be_made(make: Callable[[Path], object], parts: list[str], tmp_path: Path) -> None:
    folder = tmp_path / "mine"
    folder.mkdir()
    make(folder)
    with pytest.raises(Wrong) as caught:
        read(folder)
    one_line(str(caught.value), *parts)


def test_a_change_deep_inside_is_seen_in_the_same_process(tmp_path: Path) -> None:
    good(tmp_path / "mine" / "a")
    good(tmp_path / "mine" / "b")
    first = pictures.read(tmp_path / "mine", 16, quiet=True)
    assert pictures.read(tmp_path / "mine", 16, quiet=True) is first
    noise().save(tmp_path / "mine" / "a" / "good00.png")
    again = pictures.read(tmp_path / "mine", 16, quiet=True)
    assert not torch.equal(first.x_NCHW, again.x_NCHW)


def test_places_that_are_none(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("x")
    (tmp_path / "cut.zip").write_bytes(b"PK\x03\x04 and nothing more")
    for place, part in (("absent", "no such folder"), ("notes.txt", "neither a folder nor a zip"), ("cut.zip", "neither")):
        with pytest.raises(Wrong, match=part):
            read(tmp_path / place)
    with pytest.raises(Wrong, match="8 to 128"):
        read(good(tmp_path / "mine"), 512)


def zipped(path: Path, files: dict[str, bytes]) -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return path


def test_a_zip_is_a_folder(tmp_path: Path) -> None:
    files = {f"all/{'ab'[i % 2]}/{i}.png": encoded(noise()) for i in range(20)}
    extra = {"all/readme.txt": b"x", "__MACOSX/all/a/._0.png": b"x", "all/a/bad.png": b"x", "../../up.png": encoded(noise())}
    gallery = read(zipped(tmp_path / "mine.zip", files))
    assert gallery.classes == ["a", "b"] and len(gallery.x_NCHW) == 20 and gallery.name == "mine"
    gallery = read(zipped(tmp_path / "other.zip", files | extra))
    assert gallery.left_out == [["all/a/bad.png", "no picture, whatever its name says"]]
    assert not (tmp_path.parent / "up.png").exists() and len(gallery.x_NCHW) == 21


def test_a_zip_with_a_password_and_a_damaged_one(tmp_path: Path) -> None:
    path = zipped(tmp_path / "mine.zip", {f"{i}.png": encoded(noise()) for i in range(20)})
    data = bytearray(path.read_bytes())
    data[data.index(b"PK\x01\x02") + 8] |= 1  # of the first file, in the directory at the end
    path.write_bytes(data)
    assert read(path).left_out == [["0.png", "it has a password"]]
    broken = data[: len(data) // 3] + bytes(200) + data[len(data) // 3 + 200 :]
    path.write_bytes(broken)
    assert len(read(path).left_out) >= 2  # what lay there is damaged, the rest is used


def test_channels_are_those_of_the_pictures(tmp_path: Path) -> None:
    assert read(good(tmp_path / "grey", channels=1)).x_NCHW.shape == (20, 1, 16, 16)
    assert read(good(tmp_path / "colour")).x_NCHW.shape == (20, 3, 16, 16)
    clear = read(good(tmp_path / "clear", channels=4))
    assert clear.x_NCHW.shape == (20, 4, 16, 16)
    assert (clear.x_NCHW[:, :3] <= clear.x_NCHW[:, 3:]).all()  # colours are multiplied by alpha
    noise().save(tmp_path / "clear" / "opaque.png")
    assert (read(tmp_path / "clear").x_NCHW[-1, 3] == 255).all()


def test_pixels_come_through_unchanged_where_nothing_is_resized(tmp_path: Path) -> None:
    folder = good(tmp_path / "mine")
    gallery = read(folder, None)
    assert gallery.x_NCHW.shape[2] == 24  # all of one size
    for name, picture in zip(gallery.names_N, gallery.x_NCHW, strict=True):
        assert np.array_equal(np.asarray(Image.open(folder / name)).transpose(2, 0, 1), picture.numpy())


def test_the_middle_is_kept_and_cameras_are_believed(tmp_path: Path) -> None:
    picture = Image.new("RGB", (60, 20), "red")
    picture.paste("blue", (20, 0, 40, 20))
    decoded, remarks = pictures.decode(io.BytesIO(encoded(picture)), 10)
    assert (decoded[..., 2] > 200).all() and (decoded[:, 1:9, 0] < 60).all() and "not square" in remarks[0]
    halves = Image.new("RGB", (20, 20), "red")
    halves.paste("blue", (0, 10, 20, 20))  # below
    exif = Image.Exif()
    exif[0x0112] = 3  # upside down
    decoded, _ = pictures.decode(io.BytesIO(encoded(halves, "PNG", exif=exif)), 20)
    assert decoded[0, 0, 2] == 255 and decoded[-1, 0, 0] == 255
    deep = Image.fromarray(np.full((20, 20), 65535, np.uint16))
    assert pictures.decode(io.BytesIO(encoded(deep)), 20)[0].min() == 255


def test_the_size_of_a_whole_picture_is_that_of_it_upright() -> None:
    lying = noise(80, 40)
    note = lying.getexif()
    note[0x0112] = 6  # to be turned by a quarter
    for kind in ("PNG", "JPEG", "WEBP", "TIFF"):
        square, size = pictures.decode_whole(io.BytesIO(encoded(lying, kind, exif=note)), 64)
        assert size == (40, 80), kind
        assert square[:, :32, :3].any() and not square[:, 32:, :3].any(), kind
        assert pictures.decode_whole(io.BytesIO(encoded(lying, kind)), 64)[1] == (80, 40), kind


def test_a_turned_picture_is_known_by_what_its_camera_says() -> None:
    """Of a nearly square JPEG that is decoded at a fraction of its size, the sides say nothing any more."""
    for size, turn, told in (((639, 640), 1, (639, 640)), ((640, 639), 6, (639, 640)), ((639, 640), 8, (640, 639))):
        picture = noise(*size)
        note = picture.getexif()
        note[0x0112] = turn
        assert pictures.decode_whole(io.BytesIO(encoded(picture, "JPEG", exif=note)), 128)[1] == told


def test_what_is_kept_from_training_is_the_same_at_every_size(tmp_path: Path) -> None:
    folder = good(tmp_path / "many", 120)
    kept = []
    for pixels in (16, 32):
        gallery = read(folder, pixels)
        kept.append([name for name, test in zip(gallery.names_N, gallery.test_N.tolist(), strict=True) if test])
    assert kept[0] == kept[1] and 4 <= len(kept[0]) <= 25


def test_straight_undoes_the_multiplication() -> None:
    x = torch.zeros(1, 4, 8, 8, dtype=torch.uint8)
    x[:, :3, :4], x[:, 3, :4] = 50, 100
    out = images.straight(x)
    assert (out[:, :3, :4] == 128).all() and (out[:, :3, 4:] == 0).all() and torch.equal(out[:, 3], x[:, 3])
    assert torch.equal(images.straight(x[:, :3]), x[:, :3])


def test_splits_and_classes(tmp_path: Path) -> None:
    folder = tmp_path / "mine"
    for name in "abc":
        good(folder / name, 60)
    gallery = read(folder)
    assert gallery.classes == ["a", "b", "c"] and torch.bincount(gallery.labels_N).tolist() == [60, 60, 60]
    train, test = gallery.split("train"), gallery.split("test")
    assert len(train) + len(test) == 180 and 5 <= len(test) <= 35
    held = {name for name, t in zip(gallery.names_N, gallery.test_N.tolist(), strict=True) if t}
    good(folder / "d", 30)  # more pictures move none to the other side
    again = read(folder)
    assert held <= {name for name, t in zip(again.names_N, again.test_N.tolist(), strict=True) if t}
    noise().save(folder / "loose.png")
    gallery = read(folder)
    assert gallery.classes == []  # not every picture lies in a folder
    assert gallery.notes == ["no classes, for loose.png lies in no folder of a class"] and gallery.notes[0] in pictures.told(
        gallery
    )


def test_test_pictures_without_a_class_are_left_out_where_others_have_one(tmp_path: Path) -> None:
    for name in "ab":
        good(tmp_path / "mine" / "train" / name, 20)
    good(tmp_path / "mine" / "test", 5)
    gallery = read(tmp_path / "mine")
    assert gallery.classes == ["a", "b"] and len(gallery.x_NCHW) == 40 and len(gallery.split("test")) > 0
    assert dict(map(tuple, gallery.left_out)) == {
        f"test/good{i:02}.png": "in no class's folder, as those to learn from are" for i in range(5)
    }
    for name in "ab":  # as contests have them: a test set with classes, and another without
        good(tmp_path / "mine" / "val" / name, 6)
    again = read(tmp_path / "mine")
    assert again.classes == ["a", "b"] and (len(again.split("train")), len(again.split("test"))) == (40, 12)
    assert again.left_out == gallery.left_out
    listed = "\n".join(["file,class", *(f"test/good{i:02}.png,{KINDS[i % 2]}" for i in range(5)), "train/a/good00.png,cat",
                        *(f"train/{n}/good{i:02}.png,dog" for n in "ab" for i in range(1, 20))])  # fmt: skip
    (tmp_path / "mine" / "of all.csv").write_text(listed)
    told = read(tmp_path / "mine" / "of all.csv")  # a list says more than folders
    assert told.classes == KINDS and sum(name.startswith("test/") for name in told.names_N) == 5
    (tmp_path / "mine" / ".hidden.csv").write_text(listed)
    with pytest.raises(Wrong, match="begins with a dot"):
        read(tmp_path / "mine" / ".hidden.csv")


def test_folders_called_train_and_test_are_the_splits(tmp_path: Path) -> None:
    for split, n in (("train", 12), ("val", 6)):
        for name in "ab":
            good(tmp_path / "mine" / split / name, n)
    gallery = read(tmp_path / "mine")
    assert gallery.classes == ["a", "b"] and (len(gallery.split("train")), len(gallery.split("test"))) == (24, 12)


def test_as_many_folders_as_pictures_are_no_classes(tmp_path: Path) -> None:
    for i in range(20):
        good(tmp_path / "mine" / f"only{i}", 1)
    gallery = read(tmp_path / "mine")
    assert gallery.classes == [] and len(gallery.split("test")) >= 1
    good(tmp_path / "mine" / "only0", 2)
    gallery = read(tmp_path / "mine")
    assert len(gallery.classes) == 20 and len(gallery.split("test")) >= 1
    assert set(gallery.split("train").labels_N.tolist()) == set(range(20))


def test_names_of_a_zip_may_begin_anyhow(tmp_path: Path) -> None:
    for prefix in ("./all/", "/all/", "all//", "./"):
        files = {f"{prefix}{'cats' if i % 2 else 'dogs'}/{i}.png": encoded(noise()) for i in range(20)}
        assert read(zipped(tmp_path / "mine.zip", files)).classes == ["cats", "dogs"], prefix


def test_a_named_set_is_no_folder_here(apart: Path) -> None:
    good(apart / "bars")
    assert images.load("bars").name == "bars" and images.load("bars").pixels == 8
    assert images.load("./bars").pixels == 24
    good(apart / "faces")
    assert not pictures.is_place("faces") and pictures.is_place("./faces")  # the drawn ones are meant


def test_a_class_of_one_picture_is_learnt_from_it(tmp_path: Path) -> None:
    good(tmp_path / "mine" / "many", 60)
    for i in range(12):
        good(tmp_path / "mine" / f"lonely{i}", 1)
    gallery = read(tmp_path / "mine")
    assert set(gallery.split("train").labels_N.tolist()) == set(range(13))


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(some.data())
def test_no_bytes_crash_it(tmp_path: Path, data: some.DataObject) -> None:
    folder = tmp_path / "mine"
    if not folder.exists():
        good(folder, 16)
    kind = data.draw(some.sampled_from(["PNG", "JPEG", "GIF", "WEBP", "BMP", "TIFF", "PPM"]))
    whole = bytearray(encoded(Image.fromarray(np.arange(432, dtype=np.uint8).reshape(12, 12, 3)), kind))
    for _ in range(data.draw(some.integers(1, 8))):
        whole[data.draw(some.integers(0, len(whole) - 1))] = data.draw(some.integers(0, 255))
    end = data.draw(some.integers(0, len(whole)))
    (folder / "odd.png").write_bytes(bytes(whole[:end]))
    gallery = read(folder)
    assert len(gallery.x_NCHW) + len(gallery.left_out) == 17
    assert [name for name, _ in gallery.left_out] in ([], ["odd.png"])


def test_a_folder_is_trained_on_and_a_changed_one_is_noticed(gannet: Command, apart: Path) -> None:
    for name in "ab":
        good(apart / "mine" / name, 30, channels=4)
    (apart / "mine" / "a" / "bad.png").write_bytes(b"x")
    words = ("train", "images", "--data", "mine", "--size", "tiny", "--pixels", "16", "--steps", "4")
    done = gannet(*words, "--skip", "repeated-items=few")
    assert "a/bad.png: no picture, whatever its name says" in done.stderr and "with transparency" in done.stderr
    gannet("sample", "runs/images-1", "-n", "3", "--class", "b")
    with Image.open(apart / "runs/images-1/drawn/00000.png") as drawn:
        assert drawn.mode == "RGBA" and drawn.size == (16, 16)
    (apart / "runs/images-1/drawn/2024.png").write_bytes(b"mine")
    gannet("sample", "runs/images-1", "-n", "1")
    names = sorted(path.name for path in (apart / "runs/images-1/drawn").iterdir())
    assert names == ["00000.png", "2024.png", "drawn.json", "grid.png"]  # of numbers only those that are ours go
    card = (apart / "runs/images-1/README.md").read_text()
    assert "a/bad.png" in card
    more = (*words, "--out", "runs/images-1", "--more", "2")
    (apart / "mine" / "a" / "bad.png").unlink()  # as it was asked to: the pictures are the same
    assert "going on at step 4 of 6" in gannet(*more).stderr
    record = json.loads((apart / "runs/images-1/recipe.json").read_text())
    assert record["data"]["mine/train"]["source"] == pictures.OWN
    (apart / "mine" / "a" / "good01.png").rename(apart / "mine" / "b" / "moved.png")  # another class
    one_line(gannet(*more, status=1).stderr.splitlines()[-1], "the pictures are not those that the run began with", "mine/")


def test_pictures_and_runs_in_one_folder(gannet: Command, apart: Path) -> None:
    good(apart / "mine", 30)
    words = ("train", "images", "--data", "mine", "--size", "tiny", "--pixels", "16", "--out", "mine/runs/one", "--steps", "4")
    gannet(*words, "--skip", "repeated-items=few")
    gannet("sample", "mine/runs/one", "-n", "2")
    assert "going on at step 4 of 6" in gannet(*words, "--more", "2").stderr


def test_a_folder_whose_name_is_no_text(gannet: Command, apart: Path) -> None:
    name = str(apart / os.fsdecode(b"caf\xe9"))  # of another time
    good(Path(name), 30)
    words = ("train", "images", "--data", name, "--size", "tiny", "--pixels", "16", "--steps", "4")
    gannet(*words, "--skip", "repeated-items=few", "--out", "one")
    assert json.loads(Path("one/recipe.json").read_text())["arguments"]["data"] == name
    one_line(gannet("evaluate", "one", status=1).stderr.splitlines()[-1], "at least 20 pictures")  # it has 3
    one_line(gannet(*words, "--out", f"{name}/run", status=2).stderr.splitlines()[-1], "no text in UTF-8", "caf")


def test_a_named_set_has_its_own_size(gannet: Command) -> None:
    said = gannet("train", "images", "--data", "digits8", "--size", "tiny", "--pixels", "16", status=2).stderr
    one_line(said, "--pixels 16", "they have 8")


def test_a_file_that_is_not_there_is_no_link(tmp_path: Path) -> None:
    with pytest.raises(Wrong, match=r"absent\.png: no such file"):
        pictures.prepared(tmp_path / "absent.png", 16, 3)


def test_emoji_are_cut_from_their_sheet(tmp_path: Path) -> None:
    sheet = Image.fromarray(rng.integers(0, 256, (5 * 66, 5 * 66, 4), dtype=np.uint8))
    places = [{"image": f"{i}.png", "sheet_x": i % 5, "sheet_y": i // 5} for i in range(25)]
    first = {**places[0], "category": "Flags", "skin_variations": {"1F3FB": places[1]}}
    entries = [first, *({**place, "category": "Objects"} for place in places[2:])]
    sheet.save(tmp_path / "64.png")
    (tmp_path / "emoji.json").write_text(json.dumps(entries))
    gallery = pictures.emoji(tmp_path)
    assert gallery.classes == ["Flags", "Objects"] and gallery.x_NCHW.shape == (25, 4, 64, 64)
    at = gallery.names_N.index("Objects/7.png")
    expected = np.asarray(sheet.crop((2 * 66 + 1, 67, 2 * 66 + 65, 131)).convert("RGBa")).transpose(2, 0, 1)
    assert np.array_equal(gallery.x_NCHW[at].numpy(), expected) and gallery.labels_N[at] == 1
    assert sum(gallery.labels_N.tolist()) == 23
    gallery.licence, gallery.source = "CC BY 4.0", "Twemoji"
    assert gallery.split("train").facts()["licence"] == "CC BY 4.0"
    assert gallery.split("train").facts()["source"] == "Twemoji"


def test_a_file_may_lie_elsewhere_in_a_mirror() -> None:
    entry = catalog.get("emoji")
    paths = [mirror.path(file) for mirror in entry.mirrors for file in entry.files]
    assert paths == ["package/img/twitter/sheets/64.png", "package/emoji.json"]


# ------------------------------------------------------------------------------------------------------- class lists


KINDS = ["cat", "dog"]


def listed(folder: Path, table: str | bytes, name: str = "labels.csv", n: int = 20) -> Path:
    """A folder of good pictures with a class list: rows may be anything."""
    good(folder, n)
    (folder / name).write_bytes(table if isinstance(table, bytes) else table.encode())
    return folder


def rows(word: Callable[[int], str], n: int = 20, head: str = "file,class") -> str:
    return "\n".join([head, *(f"{word(i)},{KINDS[i % 2]}" for i in range(n))])


def kinds_of(gallery: pictures.Gallery) -> dict[str, str]:
    return {name: gallery.classes[y] for name, y in zip(gallery.names_N, gallery.labels_N.tolist(), strict=True)}


@pytest.mark.parametrize(
    ("name", "table"),
    [
        ("labels.csv", rows(lambda i: f"good{i:02}.png")),
        ("train.csv", rows(lambda i: f"good{i:02}", head="ID,Breed")),
        ("classes.csv", rows(lambda i: f"./good{i:02}.png", head=" Filename , TARGET ")),
        ("labels.csv", "\ufeff" + rows(lambda i: f'"good{i:02}.png"').replace("\n", "\r\n\r\n") + "\r\n"),
        (
            "labels.csv",
            rows(lambda i: f"good{i:02}.png", head="image_id,file,id,label").replace("good", "7,good").replace("png", "png,7"),
        ),
        ("labels.csv", rows(lambda i: f"good{i:02}.png").replace(",", ";")),
        ("labels.csv", rows(lambda i: f".\\good{i:02}.png").replace(",", "\t")),
        ("labels.csv", rows(lambda i: f"good{i:02}.png") + "\n" + rows(lambda i: f"good{i:02}").partition("\n")[2]),
    ],
)
def test_a_list_says_the_classes(name: str, table: str, tmp_path: Path) -> None:
    gallery = read(listed(tmp_path / "mine", table, name))
    assert kinds_of(gallery) == {f"good{i:02}.png": KINDS[i % 2] for i in range(20)}
    assert gallery.classes == KINDS and gallery.left_out == []
    assert "2 classes: cat 10, dog 10" in pictures.told(gallery)


def test_a_list_may_be_named_itself(tmp_path: Path) -> None:
    folder = listed(tmp_path / "mine", rows(lambda i: f"good{i:02}.png"), "of mine.csv")
    assert read(folder).classes == []  # nobody knows that it says classes
    assert kinds_of(read(folder / "of mine.csv")) == {f"good{i:02}.png": KINDS[i % 2] for i in range(20)}
    assert images.load(str(folder / "of mine.csv"), "train", 16).name == "mine"


def test_a_list_of_pictures_in_folders(tmp_path: Path) -> None:
    good(tmp_path / "mine" / "all" / "here")
    for word in ("all/here/good{:02}.png", "all/here/good{:02}", "good{:02}.png", "good{:02}"):
        (tmp_path / "mine" / "labels.csv").write_text(rows(lambda i, word=word: word.format(i)))
        gallery = read(tmp_path / "mine")
        assert gallery.labels_N.tolist() == [0, 1] * 10 and gallery.left_out == []
    (tmp_path / "mine" / "labels.csv").write_text(rows(lambda i: f"here/good{i:02}.png"))
    with pytest.raises(Wrong) as caught:
        read(tmp_path / "mine")
    one_line(str(caught.value), "0 usable pictures", "all/here/good00.png (labels.csv does not name it) and 39 more")


def test_a_list_beside_one_folder_for_each_picture(tmp_path: Path) -> None:
    for i in range(20):
        good(tmp_path / "mine" / f"patient{i:02}", 1)
    (tmp_path / "mine" / "labels.csv").write_text(rows(lambda i: f"patient{i:02}/good00.png"))
    assert read(tmp_path / "mine").labels_N.tolist() == [0, 1] * 10


def test_a_list_beside_the_two_splits(tmp_path: Path) -> None:
    good(tmp_path / "mine" / "train", 20)
    good(tmp_path / "mine" / "test", 8)
    table = rows(lambda i: f"train/good{i:02}.png")
    (tmp_path / "mine" / "labels.csv").write_text(table + "\n" + "\n".join(f"test/good{i:02}.png,dog" for i in range(8)))
    gallery = read(tmp_path / "mine")
    assert (len(gallery.split("train")), gallery.split("test").labels_N.tolist()) == (20, [1] * 8)
    (tmp_path / "mine" / "labels.csv").write_text(table)  # as of a competition, whose test pictures nobody may know
    gallery = read(tmp_path / "mine")
    assert len(gallery.x_NCHW) == 20 and len(gallery.left_out) == 8 and len(gallery.split("test")) >= 1
    assert gallery.left_out[0] == ["test/good00.png", "labels.csv does not name it"]


def test_rows_without_a_picture_and_pictures_without_a_row(tmp_path: Path) -> None:
    table = rows(lambda i: f"good{i:02}.png") + "\ngone.png,cat\ngone.png,cat\n,dog\nbad.png,cat\ngood20.png\ngood21.png, "
    folder = listed(tmp_path / "mine", table, n=23)
    (folder / "bad.png").write_bytes(b"x")
    (folder / "other.csv").write_text("anything")
    gallery = read(folder)
    assert len(gallery.x_NCHW) == 20 and len(gallery.left_out) == 6
    assert dict(map(tuple, gallery.left_out)) == {
        "gone.png": "no such file, though labels.csv names it",
        "good20.png": "labels.csv gives it no class",
        "good21.png": "labels.csv gives it no class",
        "good22.png": "labels.csv does not name it",
        "bad.png": "no picture, whatever its name says",
        "labels.csv": "line 24 names no file",
    }
    for line in pictures.told(gallery).splitlines():
        assert line.isprintable()


@pytest.mark.parametrize(
    ("table", "parts"),
    [
        ("", ["class list is empty", "labels.csv"]),
        ("\n \n", ["class list is empty", "labels.csv"]),
        ("file,class\n", ["class list is empty", "file,class"]),
        (rows(str, head="picture,class"), ["no column of files", "picture, class", "filename"]),
        (rows(str, head="file,kind"), ["no column of classes", "file, kind", "breed"]),
        (rows(str, head="file\x1b[31m,kind"), ["no column of files", "file\\x1b[31m"]),
        (b"file,class\ngood00.png,caf\xe9\n", ["must be UTF-8", "labels.csv, line 2"]),
        (b"\xff\xfe" + "file,class\n".encode("utf-16-le"), ["must be UTF-8", "labels.csv, line 1"]),
        ('file,class\ngood00.png,"cat\n', ["no CSV", "labels.csv, line 2"]),
        (rows(lambda i: f"good{i:02}") + "\ngood03.png,cat", ["one file two classes", "'dog' in line 5 and 'cat' in line 22"]),
        (rows(lambda i: "nobody"), ["0 usable pictures", "labels.csv does not name it"]),
    ],
)  # fmt: skip
def test_lists_of_which_nothing_can_be_made(table: str | bytes, parts: list[str], tmp_path: Path) -> None:
    folder = listed(tmp_path / "mine", table)
    with pytest.raises(Wrong) as caught:
        read(folder)
    one_line(str(caught.value), *parts)
    assert str(caught.value).isprintable()


def test_a_word_that_may_mean_several_files(tmp_path: Path) -> None:
    folder = listed(tmp_path / "mine", rows(lambda i: f"good{i:02}"))
    noise().save(folder / "good07.bmp")
    with pytest.raises(Wrong) as caught:
        read(folder)
    one_line(str(caught.value), "2 files might be", "good07 in line 9: good07.bmp, good07.png")
    (folder / "labels.csv").write_text(rows(lambda i: f"good{i:02}.png"))
    assert read(folder).left_out == [["good07.bmp", "labels.csv does not name it"]]


def test_a_list_that_may_not_be_read(tmp_path: Path) -> None:
    folder = good(tmp_path / "mine")
    os.mkfifo(folder / "labels.csv")
    with pytest.raises(Wrong) as caught:
        read(folder)
    one_line(str(caught.value), "class list cannot be read", "labels.csv: no ordinary file")


def test_folders_of_classes_win_over_a_list(tmp_path: Path) -> None:
    good(tmp_path / "mine" / "a", 10)
    good(tmp_path / "mine" / "b", 10)
    before = read(tmp_path / "mine").split("train").facts()
    (tmp_path / "mine" / "labels.csv").write_text("no,list")
    assert read(tmp_path / "mine").split("train").facts() == before


def test_lists_that_are_none(tmp_path: Path) -> None:
    folder = good(tmp_path / "mine" / "inside").parent
    noise().save(folder / "loose.png")
    before = read(folder).split("train").facts()
    for places in (["notes.csv"], ["inside/labels.csv"], ["labels.csv", "train.csv"]):
        for place in places:  # another name, not beside all pictures, two of them
            (folder / place).write_text("no,list")
        assert read(folder).split("train").facts() == before, places
        for place in places:
            (folder / place).unlink()


def test_a_list_in_a_zip(tmp_path: Path) -> None:
    files = {f"./all/pictures/{i:02}.png": encoded(noise()) for i in range(20)}
    for place in ("./all/labels.csv", "labels.csv", "./all/pictures/labels.csv"):
        table = {place: rows(lambda i: f"{i:02}").encode(), "__MACOSX/labels.csv": b"x"}
        gallery = read(zipped(tmp_path / "mine.zip", files | table))
        assert gallery.labels_N.tolist() == [0, 1] * 10 and gallery.left_out == [], place


def test_an_accent_may_be_written_in_two_ways(tmp_path: Path) -> None:
    folder = good(tmp_path / "mine", 19)
    noise().save(folder / "e\u0301te\u0301.png")
    (folder / "labels.csv").write_text(rows(lambda i: f"good{i:02}.png", 19) + "\n\u00e9t\u00e9.png,dog")
    assert read(folder).left_out == []


def test_a_changed_list_is_other_data(tmp_path: Path) -> None:
    folder = listed(tmp_path / "mine", rows(lambda i: f"good{i:02}.png"))
    first = pictures.read(folder, 16, quiet=True)
    (folder / "labels.csv").write_text(rows(lambda i: f"good{i:02}.png").replace("cat", "cow"))
    again = pictures.read(folder, 16, quiet=True)
    assert torch.equal(first.x_NCHW, again.x_NCHW)
    assert first.split("train").facts()["more"]["sha256"] != again.split("train").facts()["more"]["sha256"]
