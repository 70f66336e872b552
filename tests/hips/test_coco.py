"""Boxes that people drew: files as annotation programs and MATLAB write them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rhoa.errors import ManifestError, MissingFileError, ParameterError
from rhoa.hips import Box
from rhoa.hips.annotations import LabelledImage, read_coco, read_matlab, write_coco
from tests.strategies import drawn_boxes

LABEL_STUDIO: dict[str, Any] = {
    "images": [
        {"width": 400, "height": 300, "id": 0, "file_name": "images\\/a1b2-pelvis.png"},
        {"width": 400, "height": 300, "id": 1, "file_name": "images\\/c3d4-pelvis.png"},
    ],
    "categories": [{"id": 0, "name": "femur"}, {"id": 1, "name": "Hip"}],
    "annotations": [
        {
            "id": 0, "image_id": 0, "category_id": 1, "segmentation": [],
            "bbox": [250.5, 100, 80, 90.25], "ignore": 0, "iscrowd": 0, "area": 7220.0,
        },
        {
            "id": 1, "image_id": 0, "category_id": 1, "segmentation": [],
            "bbox": [60, 110, 80, 90], "ignore": 0, "iscrowd": 0, "area": 7200.0,
        },
        {
            "id": 2, "image_id": 0, "category_id": 0, "segmentation": [],
            "bbox": [1, 2, 3, 4], "ignore": 0, "iscrowd": 0, "area": 12.0,
        },
    ],
    "info": {"year": 2026, "version": "1.0"},
}  # fmt: skip

CVAT: dict[str, Any] = {
    "licenses": [{"name": "", "id": 0, "url": ""}],
    "info": {"contributor": ""},
    "categories": [
        {"id": 1, "name": "hip left", "supercategory": ""},
        {"id": 2, "name": "hip right", "supercategory": ""},
    ],
    "images": [
        {
            "id": 1, "width": 400, "height": 300, "file_name": "study/one.png", "license": 0,
            "flickr_url": "", "coco_url": "", "date_captured": 0,
        },
    ],
    "annotations": [
        {
            "id": 1, "image_id": 1, "category_id": 2, "segmentation": [], "area": 100.0,
            "bbox": [205.0, 10.0, 10.0, 10.0], "iscrowd": 0,
            "attributes": {"occluded": False, "rotation": 0.0},
        },
    ],
}  # fmt: skip


def written(folder: Path, content: object) -> Path:
    path = folder / "labels.json"
    path.write_text(json.dumps(content), encoding="utf-8")
    return path


class TestReadingCoco:
    def test_a_label_studio_export(self, tmp_path: Path) -> None:
        """A bbox is [x, y, width, height] from the image's corner; halves by the midline, 200."""
        first, second = read_coco(written(tmp_path, LABEL_STUDIO))

        assert first.path == tmp_path / "images" / "a1b2-pelvis.png"
        assert first.shape == (300, 400)
        assert first.boxes == (
            Box("left", top=100, left=250.5, bottom=190.25, right=330.5),
            Box("right", top=110, left=60, bottom=200, right=140),
        )
        assert second.boxes == ()

    def test_a_cvat_export_whose_labels_tell_the_side(self, tmp_path: Path) -> None:
        (image,) = read_coco(written(tmp_path, CVAT), folder=tmp_path / "pictures")

        assert image.path == tmp_path / "pictures" / "study" / "one.png"
        assert image.boxes == (Box("right", 10, 205, 20, 215),)

    def test_of_halves_every_box_is_a_left_one(self, tmp_path: Path) -> None:
        (image, _) = read_coco(written(tmp_path, LABEL_STUDIO), shows="half")

        assert [box.side for box in image.boxes] == ["left", "left"]

    def test_a_single_category_is_hips_whatever_its_name(self, tmp_path: Path) -> None:
        content = LABEL_STUDIO | {
            "categories": [{"id": 1, "name": "roi"}],
            "annotations": LABEL_STUDIO["annotations"][:2],
        }

        assert len(read_coco(written(tmp_path, content))[0].boxes) == 2

    @pytest.mark.parametrize(
        ("change", "message"),
        [
            ({"bbox": [1, 2, 0, 4]}, r"labels\.json, annotation 1: bbox must be"),
            ({"bbox": [1, 2, 3]}, "annotation 1: bbox must be"),
            ({"bbox": "1 2 3 4"}, "annotation 1: bbox must be"),
            ({"bbox": [1, 2, float("nan"), 4]}, "annotation 1: bbox must be"),
            ({"image_id": 7}, "annotation 1: no image has its image_id"),
            ({"image_id": [0]}, "annotation 1: no image has its image_id"),
            ({"attributes": {"rotation": 12.5}}, "annotation 1: a box turned by 12.5 degrees"),
            ({"score": 7}, "annotation 1: score must be from 0 to 1"),
        ],
    )
    def test_a_damaged_annotation_is_named(
        self, tmp_path: Path, change: dict[str, object], message: str
    ) -> None:
        first, *others = LABEL_STUDIO["annotations"]
        content = LABEL_STUDIO | {"annotations": [first | change, *others]}

        with pytest.raises(ManifestError, match=message):
            read_coco(written(tmp_path, content))

    @pytest.mark.parametrize(
        ("content", "message"),
        [
            ([], "no list of images, annotations, categories"),
            ({"images": []}, "no list of annotations, categories"),
            (LABEL_STUDIO | {"images": [{"id": 1}]}, "image 1: it has no file_name"),
            (LABEL_STUDIO | {"images": LABEL_STUDIO["images"][:1] * 2}, "image 2: its id 0"),
            (
                LABEL_STUDIO | {"categories": [{"id": 0, "name": "ship"}, {"id": 1, "name": "b"}]},
                "none of its 2 categories is named hip",
            ),
            (
                LABEL_STUDIO | {"images": [{"id": 0, "file_name": "a.png"}]},
                "annotation 1: neither a side nor the width",
            ),
        ],
    )
    def test_what_is_no_coco_file_of_hips_is_refused(
        self, tmp_path: Path, content: object, message: str
    ) -> None:
        with pytest.raises(ManifestError, match=message):
            read_coco(written(tmp_path, content))

    def test_what_is_no_json_is_refused(self, tmp_path: Path) -> None:
        (tmp_path / "labels.json").write_text("{", encoding="utf-8")

        with pytest.raises(ManifestError, match=r"labels\.json: not a JSON file"):
            read_coco(tmp_path / "labels.json")
        with pytest.raises(MissingFileError, match=r"absent\.json: no such file"):
            read_coco(tmp_path / "absent.json")


class TestWritingCoco:
    @given(st.lists(st.lists(drawn_boxes(), max_size=3), max_size=4))
    def test_what_is_written_is_read_again(
        self, tmp_path_factory: pytest.TempPathFactory, drawn: list[list[Box]]
    ) -> None:
        """Sums of x and width may round in the last digit."""
        folder = tmp_path_factory.mktemp("coco")
        images = [
            LabelledImage(folder / "in" / f"{number}.png", tuple(boxes), (300, 400))
            for number, boxes in enumerate(drawn)
        ]

        write_coco(images, folder / "labels.json")
        again = read_coco(folder / "labels.json")

        assert [image.path for image in again] == [image.path for image in images]
        assert [image.shape for image in again] == [image.shape for image in images]
        for old, new in zip(images, again, strict=True):
            assert [(b.side, b.confidence) for b in new.boxes] == [
                (b.side, b.confidence) for b in old.boxes
            ]
            for one, other in zip(old.boxes, new.boxes, strict=True):
                assert other.iou(one) == pytest.approx(1, abs=1e-9)

    def test_an_image_of_unknown_shape_is_refused(self, tmp_path: Path) -> None:
        with pytest.raises(ParameterError, match=r"a\.png: COCO needs shape"):
            write_coco([LabelledImage(tmp_path / "a.png", ())], tmp_path / "labels.json")


class TestReadingMatlab:
    """MATLAB's pixel 1 is rhoa's 0, and its whole numbers are middles: [1 1 ..] begins at 0.5."""

    @pytest.mark.parametrize(
        "table",
        [
            "imageFilename,hip\nhalves/a.png,[11 21 30 40]\n",
            'imageFilename,hip\nhalves/a.png,"[11, 21, 30, 40]"\n',
            "imageFilename,hip\nhalves\\a.png,11 21 30 40\n",
            "imageFilename,hip_1,hip_2,hip_3,hip_4\nhalves/a.png,11,21,30,40\n",
            "imageFilename,x,y,width,height\nhalves/a.png,11,21,30,40\n",
            "\ufeffimageFilename,X,Y,Width,Height\r\nhalves/a.png,1.1e1,21,30,40\r\n",
        ],
    )
    def test_each_layout_gives_the_same_box(self, tmp_path: Path, table: str) -> None:
        (tmp_path / "truth.csv").write_text(table, encoding="utf-8")

        (image,) = read_matlab(tmp_path / "truth.csv", shows="half")

        assert image.path == tmp_path / "halves" / "a.png"
        assert image.boxes == (Box("left", top=20.5, left=10.5, bottom=60.5, right=40.5),)

    def test_the_whole_image_is_the_whole_image(self, tmp_path: Path) -> None:
        """In MATLAB's spatial coordinates an image of 400 x 300 runs from 0.5 to 400.5."""
        (tmp_path / "t.csv").write_text(
            "imageFilename,hip\na.png,[0.5 0.5 400 300]\n", encoding="utf-8"
        )

        (image,) = read_matlab(tmp_path / "t.csv", shows="half")

        assert image.boxes == (Box("left", 0, 0, 300, 400),)

    @pytest.mark.parametrize(
        "table",
        [
            "imageFilename,hip\na.png,[301 21 30 40;11 21 30 40]\n",
            "imageFilename,hip_left,hip_right\na.png,[301 21 30 40],[11 21 30 40]\n",
            "imageFilename,leftHip,rightHip,knee\na.png,[301 21 30 40],[11 21 30 40],[1 2 3 4]\n",
            """imageFilename,label,x,y,width,height
a.png,hip left,301,21,30,40
a.png,knee,1,2,3,4
a.png,hip right,11,21,30,40
""",
            "imageFilename,left,right\na.png,[301 21 30 40],[11 21 30 40]\n",
            "imageFilename,x,y,width,height\na.png,301,21,30,40\na.png,11,21,30,40\n",
        ],
    )
    def test_two_boxes_of_a_pelvis_have_their_sides(self, tmp_path: Path, table: str) -> None:
        """The patient's left is at the large columns."""
        (tmp_path / "truth.csv").write_text(table, encoding="utf-8")

        (image,) = read_matlab(tmp_path / "truth.csv")

        assert {box.side: box.left for box in image.boxes} == {"left": 300.5, "right": 10.5}

    def test_an_empty_cell_is_an_image_without_a_box(self, tmp_path: Path) -> None:
        table = "imageFilename,hip\na.png,[]\nb.png,\nc.png,NaN NaN NaN NaN\n"
        (tmp_path / "truth.csv").write_text(table, encoding="utf-8")

        images = read_matlab(tmp_path / "truth.csv")

        assert [(image.path.name, image.boxes) for image in images] == [
            ("a.png", ()), ("b.png", ()), ("c.png", ()),
        ]  # fmt: skip

    @pytest.mark.parametrize(
        ("table", "message"),
        [
            ("", "has no columns"),
            ("file,hip\n", "its first column must be imageFilename"),
            ("imageFilename,hip\na.png,[1 2 3]\n", r"truth\.csv, line 2: \[x y width height\]"),
            ("imageFilename,hip\n\na.png,1 2 3 four\n", "line 3: .x y width height"),
            ("imageFilename,hip\na.png,[1 2 0 4]\n", "line 2: bbox must be"),
            ("imageFilename,hip\na.png\n", "line 2: 1 values under 2 columns"),
            ("imageFilename,hip\na.png,[1 2 3 4]\n", "line 2: the side of its box is unknown"),
        ],
    )
    def test_what_cannot_be_read_is_named(self, tmp_path: Path, table: str, message: str) -> None:
        (tmp_path / "truth.csv").write_text(table, encoding="utf-8")

        with pytest.raises(ManifestError, match=message):
            read_matlab(tmp_path / "truth.csv")
