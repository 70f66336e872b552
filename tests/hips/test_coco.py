"""Boxes that people drew: files as annotation programs and MATLAB write them."""

from __future__ import annotations

import contextlib
import json
import warnings
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rhoa.errors import ManifestError, MissingFileError, ParameterError, RhoaWarning
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


LEFT = [250, 100, 80, 90]
ONE_IMAGE = {"width": 400, "height": 300, "id": 1, "file_name": "a.png"}


def coco(categories: object, annotations: list[dict[str, Any]], **image: object) -> dict[str, Any]:
    """A file of one image; annotations are of it and have a box, where they do not say else."""
    return {
        "images": [ONE_IMAGE | image],
        "categories": categories,
        "annotations": [{"image_id": 1, "bbox": LEFT, "id": 1} | one for one in annotations],
    }


HIP = [{"id": 1, "name": "hip"}]
ROBOFLOW = [
    {"id": 0, "name": "hips-xk3l", "supercategory": "none"},
    {"id": 1, "name": "roi", "supercategory": "hips-xk3l"},
]
FIRST = {"category_id": 1}
POLYGON = [250, 100, 330, 100, 330, 190, 250, 190]
MASK = {"size": [300, 400], "counts": [250 * 300 + 100, *([90, 210] * 79), 90, 110 + 69 * 300]}
"""Runs down the columns of what is not in it and what is, by turns."""


class TestCocoAsToolsWriteIt:
    """Every file holds the same one box, of the left hip."""

    @pytest.mark.parametrize(
        "content",
        [
            pytest.param(coco(ROBOFLOW, [FIRST]), id="Roboflow's root category"),
            pytest.param(
                coco([*HIP, {"id": 2, "name": "no hip"}], [FIRST]), id="a class of no hips beside"
            ),
            pytest.param(coco(HIP, [{"category_id": "1"}]), id="category ids as strings"),
            pytest.param(coco([{"id": "1", "name": "hip"}], [FIRST]), id="and the other way"),
            pytest.param(coco(HIP, [FIRST | {"image_id": "1"}]), id="image ids as strings"),
            pytest.param(coco(HIP, [FIRST | {"image_id": 1.0}]), id="image ids as floats"),
            pytest.param(coco([], [FIRST]), id="no category is listed"),
            pytest.param(coco(HIP, [{"category_id": 0}]), id="numbered from 0 and from 1"),
            pytest.param(coco(HIP, [FIRST | {"attributes": {"Side": "L"}}]), id="Side L"),
            pytest.param(coco(HIP, [FIRST | {"attributes": {"SIDE": "LEFT"}}]), id="SIDE LEFT"),
            pytest.param(
                coco(HIP, [FIRST | {"attributes": [{"name": "Side", "value": "left"}]}]),
                id="attributes in a list",
            ),
            pytest.param(coco(HIP, [FIRST | {"attributes": "left"}]), id="attributes are a text"),
            pytest.param(coco(HIP, [FIRST | {"attributes": None}]), id="attributes are null"),
            pytest.param(
                coco(HIP, [FIRST | {"attributes": {"rotation": "0.0"}}]), id="turned by nothing"
            ),
            pytest.param(
                coco(HIP, [FIRST | {"bbox": [], "segmentation": [POLYGON]}]),
                id="a polygon without a box",
            ),
            pytest.param(
                coco(HIP, [FIRST | {"bbox": None, "segmentation": MASK}]), id="a mask without a box"
            ),
            pytest.param(coco(HIP, [FIRST], width=400.0, height="300"), id="sizes as they come"),
            pytest.param(coco(HIP, [FIRST | {"bbox": ["250", "100", 80.0, "90"]}]), id="as texts"),
            *(
                pytest.param(
                    coco([{"id": 1, "name": name}, {"id": 2, "name": "knee"}], [FIRST]), id=name
                )
                for name in ("hip_L", "L_hip", "LHip", "hipL", "Left-Hip", "HIP left", "lefthip")
            ),
        ],
    )
    def test_it_is_one_left_hip(self, tmp_path: Path, content: dict[str, Any]) -> None:
        (image,) = read_coco(written(tmp_path, content))

        assert image.boxes == (Box("left", top=100, left=250, bottom=190, right=330),)

    @pytest.mark.parametrize(
        "name",
        [
            "no hip",
            "hip prosthesis",
            "Hip_implant",
            "non-hip",
            "hip replacement",
            "THA hip",
            "ship",
        ],
    )
    def test_a_class_that_is_no_hip_gives_no_box(self, tmp_path: Path, name: str) -> None:
        content = coco([{"id": 1, "name": "hip"}, {"id": 2, "name": name}], [{"category_id": 2}])

        assert read_coco(written(tmp_path, content))[0].boxes == ()

    @pytest.mark.parametrize(
        "categories",
        [
            [{"id": 1, "name": "femur"}, {"id": 2, "name": "roi"}],
            [{"id": 1, "name": "hip prosthesis"}],
            [{"id": 3, "name": "hip"}, {"id": 4, "name": "knee"}],
        ],
    )
    def test_what_is_not_evident_is_asked_for_with_what_was_seen(
        self, tmp_path: Path, categories: list[dict[str, Any]]
    ) -> None:
        file = written(tmp_path, coco(categories, [FIRST]))
        seen = rf"it has .*{categories[0]['name']}.*pass hip_class=\"NAME\""

        with pytest.raises(ManifestError, match=seen):
            read_coco(file)
        assert len(read_coco(file, hip_class="1")[0].boxes) == 1
        with pytest.raises(ManifestError, match="none of its categories is pelvis; it has"):
            read_coco(file, hip_class="Pelvis")

    def test_in_a_portrait_two_boxes_are_told_by_their_order_and_one_is_asked_for(
        self, tmp_path: Path
    ) -> None:
        """It may show one hip: the half that a box lies in says nothing."""
        right, left = (FIRST | {"bbox": [x, 100, 90, 90]} for x in (20, 210))
        two = written(tmp_path, coco(HIP, [left, right], width=300, height=400))
        assert [box.side for box in read_coco(two)[0].boxes] == ["left", "right"]

        for box in (left, right):
            one = written(tmp_path, coco(HIP, [box], width=300, height=400))
            with pytest.raises(ManifestError, match="annotation 1: the side of its box is unknown"):
                read_coco(one)

    def test_a_side_that_contradicts_its_class_is_an_error(self, tmp_path: Path) -> None:
        content = coco([{"id": 1, "name": "hip_R"}], [FIRST | {"attributes": {"side": "left"}}])

        with pytest.raises(
            ManifestError, match="annotation 1: its attribute says left and its cat"
        ):
            read_coco(written(tmp_path, content))

    def test_a_crowd_is_left_out_with_a_warning(self, tmp_path: Path) -> None:
        content = coco(HIP, [FIRST | {"iscrowd": 1}, FIRST])

        with pytest.warns(RhoaWarning, match="1 annotations of hips are crowds"):
            (image,) = read_coco(written(tmp_path, content))

        assert len(image.boxes) == 1

    @pytest.mark.parametrize(
        "name",
        [
            "films/p%20one.png",
            "C:\\Users\\me\\films\\p one.png",
            "/data/upload/3/0123abcd-p%20one.png",
            "/data/local-files/?d=other%5Cfilms%5Cp%20one.png",
            "https://host.example/storage/films/p%20one.png",
            "p one.png",
        ],
    )
    def test_a_name_of_another_machine_is_found_in_the_folder(
        self, tmp_path: Path, name: str
    ) -> None:
        (tmp_path / "films").mkdir()
        (tmp_path / "films" / "p one.png").write_bytes(b"image")
        file = written(tmp_path, coco(HIP, [FIRST], file_name=name))

        assert read_coco(file, folder=tmp_path / "films")[0].path.resolve() == (
            tmp_path / "films" / "p one.png"
        )

    @pytest.mark.parametrize("rotation", [0, 12.5])
    def test_label_studios_own_json_is_in_percent(self, tmp_path: Path, rotation: float) -> None:
        value = {"x": 62.5, "y": 100 / 3, "width": 20, "height": 30, "rotation": rotation}
        drawn = {"original_width": 400, "original_height": 300, "type": "rectanglelabels",
                 "value": value | {"rectanglelabels": ["Hip"]}}  # fmt: skip
        task = {"data": {"image": "/data/upload/1/a.png"}, "annotations": [{"result": [drawn]}]}
        flat = {"image": "/data/upload/1/a.png",
                "label": [drawn["value"] | {"original_width": 400, "original_height": 300}],
                }  # fmt: skip

        for content in ([task], [flat]):
            file = written(tmp_path, content)
            if rotation:
                with pytest.raises(ManifestError, match=r"a box turned by 12\.5 degrees"):
                    read_coco(file)
                continue
            (image,) = read_coco(file)
            assert image.shape == (300, 400)
            assert edges(image.boxes[0]) == pytest.approx((100, 250, 190, 330))

    @given(
        st.recursive(
            st.none() | st.booleans() | st.integers(-3, 3) | st.floats() | st.sampled_from(
                ["hip", "1", "side", "left", ""]
            ),
            lambda inner: st.lists(inner, max_size=3) | st.dictionaries(
                st.sampled_from(["id", "name", "bbox", "attributes", "image_id", "category_id",
                                 "images", "annotations", "categories", "segmentation", "counts",
                                 "size", "iscrowd", "file_name", "data", "value", "label"]),
                inner, max_size=4),
            max_leaves=12,
        )
    )  # fmt: skip
    def test_whatever_a_file_holds_it_is_boxes_or_an_error_of_the_table(
        self, tmp_path_factory: pytest.TempPathFactory, part: object
    ) -> None:
        folder = tmp_path_factory.mktemp("any")
        for content in (part, coco(HIP, []) | {"annotations": [part]}, coco([part], [FIRST]),
                        coco(HIP, [FIRST | {"attributes": part, "segmentation": part}]),
                        coco(HIP, [FIRST | {"bbox": None, "segmentation": part}]),
                        coco(HIP, []) | {"images": [part]}):  # fmt: skip
            with contextlib.suppress(ManifestError), warnings.catch_warnings():
                warnings.simplefilter("ignore", RhoaWarning)
                read_coco(written(folder, content))


def edges(box: Box) -> tuple[float, float, float, float]:
    return box.top, box.left, box.bottom, box.right


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
            "\ufeffimageFilename,hip_1,hip_2,hip_3,hip_4\r\nhalves/a.png,1.1e1,21,30,40\r\n",
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
            "imageFilename,left,right\na.png,[301 21 30 40],[11 21 30 40]\n",
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
