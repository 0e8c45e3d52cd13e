"""What is taken for a clip, what is refused, and how its frames come out."""

import io

import av
import numpy as np
import pytest

from faketagger.components.contract.picture import DamagedError, ImageError
from faketagger.serving.video import kinds
from faketagger.serving.video.clips import LIMITS, Clip, Limits
from faketagger.tests import helpers as general
from faketagger.tests.serving.video import helpers

RED, GREEN, BLUE = (200, 30, 30), (30, 200, 30), (30, 30, 200)


def _corners():
    """Red and green above, blue below."""
    pixels = np.empty([64, 96, 3], np.uint8)
    pixels[:32, :48], pixels[:32, 48:], pixels[32:] = RED, GREEN, BLUE
    return pixels


@pytest.mark.parametrize(
    "format, codec, kind",
    [
        ("mp4", "libx264", "MP4"),
        ("mov", "libx264", "MP4"),
        ("matroska", "libx264", "MKV"),
        ("avi", "mpeg4", "AVI"),
        ("avi", "mjpeg", "AVI"),
    ],
)
def test_usual_clips_are_known_by_content_and_decoded(format, codec, kind):
    file = helpers.coded([_corners()] * 7, format, codec)
    assert kinds.kind_of(file.getvalue()[:32]) == kind
    clip = Clip(file)
    assert (clip.size, clip.count, clip.rate) == ((96, 64), 7, 25.0)
    frames = list(clip.frames())
    assert [frame.number for frame in frames] == list(range(7))
    for (row, column), colour in (((5, 5), RED), ((5, -5), GREEN), ((-5, 5), BLUE)):
        assert np.abs(frames[6].pixels[row, column].astype(int) - colour).max() <= 6
    assert clip.damage == [] and clip.changes == []


def test_pictures_are_no_clips():
    for format in ("PNG", "JPEG", "WEBP", "AVIF", "GIF", "TIFF", "BMP"):
        assert kinds.kind_of(general.smooth_file(format)[:32]) is None
    with pytest.raises(DamagedError, match="in.png: no clip of a known kind"):
        Clip(io.BytesIO(general.smooth_file()), "in.png")


def test_texts_are_no_clips():
    for text in (b"The free encyclopedia that anyone can edit", b"Get wide margins by the other printer now"):
        assert kinds.kind_of(text) is None
    assert kinds.kind_of(b"\0\0\0\x08wide\0\0\x10\0mdat" + bytes(20)) == "MP4"


def test_every_nth_frame_up_to_one_can_be_asked_for():
    clip = helpers.clip(helpers.spots(9))
    assert [frame.number for frame in clip.frames(step=3)] == [0, 3, 6]
    assert [frame.number for frame in clip.frames(until=2)] == [0, 1]


@pytest.mark.parametrize("turned, corner", [(-90, (5, -5)), (90, (-5, 5)), (180, (-5, -5))])
def test_frames_are_turned_as_a_viewer_turns_them(turned, corner):
    """A telephone held upright says −90: its film is to be turned clockwise, and what was above is on the right."""
    clip = helpers.clip([_corners()] * 3, turned=turned)
    assert clip.size == ((96, 64) if turned == 180 else (64, 96))
    pixels = next(clip.frames()).pixels
    assert pixels.shape[1::-1] == clip.size
    assert np.abs(pixels[corner].astype(int) - RED).max() <= 6


@pytest.mark.parametrize("matrix", [1, 5])
def test_colours_are_those_of_the_clips_own_matrix(matrix):
    pixels = next(helpers.clip([_corners()] * 3, matrix=matrix).frames()).pixels
    assert np.abs(pixels[-5, 5].astype(int) - BLUE).max() <= 6


def test_an_odd_row_and_column_are_left_out_and_that_is_told():
    clip = helpers.clip([np.pad(_corners(), ((0, 1), (0, 1), (0, 0)))] * 2, format="avi", codec="mpeg4")
    assert clip.size == (96, 64) and next(clip.frames()).pixels.shape == (64, 96, 3)
    assert clip.changes == ["an odd row or column of pixels is left out, as H.264 takes none"]


def test_further_videos_are_left_out_and_that_is_told():
    file = io.BytesIO()
    with av.open(file, "w", format="mp4") as container:
        videos = [container.add_stream("libx264", rate=25) for _ in range(2)]
        for video in videos:
            video.width, video.height, video.pix_fmt = 96, 64, "yuv420p"
        for video in videos:
            container.mux(video.encode(av.VideoFrame.from_ndarray(_corners(), format="rgb24")))
            container.mux(video.encode(None))
    assert Clip(file).changes == ["further videos are left out"]


def test_transparency_that_is_left_out_is_told():
    file = io.BytesIO()
    with av.open(file, "w", format="mov") as container:
        video = container.add_stream("prores_ks", rate=25)
        video.width, video.height, video.pix_fmt = 96, 64, "yuva444p10le"
        container.mux(
            video.encode(av.VideoFrame.from_ndarray(_corners(), format="rgb24").reformat(format="yuva444p10le"))
        )
        container.mux(video.encode(None))
    assert "transparent parts are shown as they are without transparency" in Clip(file).changes


@pytest.mark.parametrize(
    "limits, told",
    [
        (Limits(pixels=6000), "frames of 96×64 pixels are larger than 0.006 megapixels"),
        (Limits(frames=6), "more than 6 frames: cut it into parts"),
        (Limits(seconds=0.1), "0 s are more than 0: cut it"),
        (Limits(packets=6), "more than 6 pieces of data"),
    ],
)
def test_what_asks_for_more_than_allowed_is_refused_when_it_is_opened(limits, told):
    with pytest.raises(ImageError, match=told):
        Clip(helpers.coded([_corners()] * 7), "in.mp4", limits)


def test_frames_that_the_header_does_not_own_up_to_are_refused(monkeypatch):
    """The count of a file that lies about it is not needed to stop."""
    monkeypatch.setattr(Clip, "_counted", lambda self: 1)
    monkeypatch.setattr(Clip, "_checked_stream", lambda self, container: container.streams.video[0])
    clip = Clip(helpers.coded([_corners()] * 9), "in.mp4", Limits(frames=5))
    with pytest.raises(ImageError, match="more than 5 frames"):
        list(clip.frames())


def test_a_clip_that_breaks_off_is_read_as_far_as_it_goes():
    noise = np.random.default_rng(0)
    frames = [noise.integers(0, 256, [64, 96, 3], dtype=np.uint8) for _ in range(20)]
    data = helpers.coded(frames, format="matroska").getvalue()
    clip = Clip(io.BytesIO(data[: len(data) // 2]))
    assert 3 < len(list(clip.frames())) < 17


@pytest.mark.parametrize("format, codec", [("matroska", "libx264"), ("webm", "libvpx"), ("avi", "mpeg4")])
def test_a_clip_of_another_container_that_breaks_off_is_noticed(format, codec):
    whole = helpers.coded(helpers.spots(60), format=format, codec=codec).getvalue()
    assert not Clip(io.BytesIO(whole)).damage
    for share in (0.7, 0.95):
        assert Clip(io.BytesIO(whole[: int(share * len(whole))])).damage == ["it breaks off"]
    assert not kinds.breaks_off(whole[:20], len(whole)) and not kinds.breaks_off(b"", 0)


def test_interlaced_frames_are_told():
    file = io.BytesIO()
    with av.open(file, "w", format="mp4") as container:
        video = container.add_stream("libx264", rate=25, options={"x264-params": "interlaced=1:tff=1"})
        video.width, video.height, video.pix_fmt = 96, 64, "yuv420p"
        for _ in range(3):
            container.mux(video.encode(av.VideoFrame.from_ndarray(_corners(), format="rgb24")))
        container.mux(video.encode(None))
    assert "interlaced frames become whole ones" in Clip(file).changes


def test_frames_that_cannot_be_decoded_are_left_out_and_that_is_told():
    file = helpers.coded(helpers.spots(7), format="avi", codec="mjpeg")
    data, (_, third) = file.getvalue(), helpers.packets(file, "video")[2]
    clip = Clip(io.BytesIO(data.replace(third, bytes(len(third)))))
    assert len(list(clip.frames())) == 6
    assert clip.damage == ["frames that cannot be decoded are left out"]


def test_broken_files_are_refused_or_read_in_part_and_nothing_else(monkeypatch):
    """Each with a few bytes changed, or cut off, anywhere."""
    data = helpers.coded(helpers.spots(6), sound="aac").getvalue()
    draws = np.random.default_rng(5)
    ended = set()
    for _ in range(60):
        broken = np.frombuffer(data, np.uint8).copy()
        broken[draws.integers(0, len(broken), 8)] = draws.integers(0, 256, 8)
        try:
            clip = Clip(io.BytesIO(broken[: draws.integers(32, 2 * len(data))].tobytes()))
            assert all(frame.pixels.shape == (*clip.size[::-1], 3) for frame in clip.frames())
            ended.add("read")
        except (DamagedError, ImageError) as error:
            ended.add(type(error).__name__)
    assert {"read", "DamagedError"} <= ended


def test_codecs_that_are_seldom_met_are_refused():
    with pytest.raises(ImageError, match="its codec, ffv1, is not taken: save it as H.264"):
        helpers.clip([_corners()] * 2, format="matroska", codec="ffv1")


def test_a_playlist_that_names_other_files_is_no_clip(tmp_path):
    (tmp_path / "secret.mp4").write_bytes(helpers.coded([_corners()] * 2).getvalue())
    playlist = f"#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\n{tmp_path}/secret.mp4\n#EXT-X-ENDLIST\n"
    concat = f"ffconcat version 1.0\nfile {tmp_path}/secret.mp4\n"
    for text in (playlist, concat):
        with pytest.raises(DamagedError):
            Clip(io.BytesIO(text.encode()))


def test_the_limits_hold_an_hour_of_no_film_and_a_minute_of_any():
    assert LIMITS.pixels >= 3840 * 2160 and LIMITS.frames >= 60 * 60 and LIMITS.seconds < 3600
