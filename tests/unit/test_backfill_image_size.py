"""The size of a picture is read from its first bytes, whatever the bytes are."""

from __future__ import annotations

import struct

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from producers.backfill.image_size import Picture, read_picture
from producers.backfill.logos import LogoFinding, judge_picture
from tests.pictures import a_jpeg, a_png

sides = st.integers(min_value=1, max_value=65_535)
# Any segment that may stand before the frame: comments, EXIF, tables.
segments = st.lists(
    st.tuples(st.sampled_from([0xE0, 0xE1, 0xEE, 0xFE, 0xDB, 0xC4, 0xCC, 0xC8]), st.binary(max_size=300)),
    max_size=6,
)


@given(width=sides, height=sides)
def test_a_png_says_its_size_first(width, height):
    """In the one chunk that must come first."""
    assert read_picture(a_png(width, height)) == Picture("png", width, height)


@given(width=sides, height=sides, before=segments, frame=st.sampled_from([0xC0, 0xC1, 0xC2, 0xC9, 0xCF]))
def test_a_jpeg_says_it_behind_whatever_precedes(width, height, before, frame):
    """Segments of any kind and content, even with a frame's marker inside."""
    assert read_picture(a_jpeg(width, height, before=before, frame=frame)) == Picture("jpg", width, height)


def test_fill_bytes_and_lone_markers_are_passed_over():
    """Both are allowed between segments."""
    picture = a_jpeg(200, 60)
    assert read_picture(picture[:2] + b"\xff\xff\xff\x01" + picture[2:]) == Picture("jpg", 200, 60)


@given(st.binary(max_size=200))
@example(b"\xff\xd8\xff")
@example(b"\xff\xd8\xff\xc0")
@example(b"\xff\xd8\xff\xe0\x00\x00")
@example(b"\xff\xd8\xff\xe0\x00\x01")
@example(b"\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR\x00\x00")
def test_no_bytes_at_all_are_a_fault_of_ours(data):
    """Nothing is raised, and no size is made up."""
    for prefix in (b"", b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR"):
        found = read_picture(prefix + data)
        assert found is None or (found.width > 0 and found.height > 0)


@given(cut=st.integers(min_value=0, max_value=19), kind=st.sampled_from(["png", "jpg"]))
def test_a_cut_picture_has_no_size(cut, kind):
    """As long as the size itself is not there."""
    whole = a_png(200, 60) if kind == "png" else a_jpeg(200, 60, before=[(0xE0, b"JFIF\0")])
    assert read_picture(whole[:cut]) is None


@pytest.mark.parametrize(
    "data",
    [
        b"GIF89a" + struct.pack("<HH", 200, 60),
        b"<svg width='200' height='60'/>",
        b"RIFF\0\0\0\0WEBPVP8 ",
        b"<!doctype html>",
        b"",
        a_png(0, 60),
        a_jpeg(200, 0),
        b"\xff\xd8\xff\xda\x00\x02" + a_jpeg(200, 60)[2:],  # a scan before any frame
        b"\xff\xd8\xff\xd9" + a_jpeg(200, 60)[2:],  # its end before any frame
    ],
)
def test_what_is_no_png_or_jpeg_is_none(data):
    """By its bytes: what it is called or served as says nothing."""
    assert read_picture(data) is None
    assert judge_picture(data).finding is LogoFinding.NOT_AN_IMAGE


def test_only_the_partners_size_is_fine():
    """200 wide, 60 high, not the other way round."""
    assert judge_picture(a_png(200, 60)).finding is LogoFinding.FINE
    assert judge_picture(a_jpeg(200, 60)).finding is LogoFinding.FINE
    turned = judge_picture(a_png(60, 200))
    assert (turned.finding, turned.detail) == (LogoFinding.WRONG_SIZE, "60×200")
