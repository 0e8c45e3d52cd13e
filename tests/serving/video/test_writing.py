"""What is kept of a clip, and what its new frames are."""

import errno
import io
from fractions import Fraction

import av
import numpy as np
import pytest

from faketagger.components.contract.picture import ImageError
from faketagger.serving.video import writing
from faketagger.serving.video.clips import Clip
from faketagger.tests.serving.video import helpers


def _written(file, change=lambda frame: frame.pixels, format="mp4", **options):
    out = io.BytesIO()
    writing.write(Clip(file), change, out, format, **options)
    out.seek(0)
    return out


@pytest.mark.parametrize("format", ["mp4", "mov", "matroska"])
def test_the_sound_is_kept_byte_by_byte_at_its_times(format):
    file = helpers.coded(helpers.spots(25), sound="aac")
    before, after = (helpers.packets(each, "audio") for each in (file, _written(file, format=format)))
    assert len(before) > 40 and [data for _, data in before] == [data for _, data in after]
    # Matroska counts milliseconds, and begins at 0: the encoder's run-up shifts sound and pictures alike.
    shift = after[0][0] - before[0][0]
    assert max(abs(float(one[0] - other[0] - shift)) for one, other in zip(after, before)) <= 0.001


@pytest.mark.parametrize("container", ["mp4", "matroska"])
def test_frames_keep_their_uneven_times(container):
    times = [0, 1, 2, 5, 6, 12, 13, 14, 20, 29]
    file = helpers.coded(helpers.spots(len(times)), format=container, times=times)
    shown = sorted(time for time, _ in helpers.packets(_written(file), "video"))
    assert [float(each) for each in shown] == pytest.approx([each / 25 for each in times], abs=0.001)


@pytest.mark.parametrize("matrix", [None, 1])
def test_frames_are_changed_and_coded_as_h264_in_the_same_colours(matrix):
    frames = helpers.spots(8)
    file = helpers.coded(frames, matrix=matrix)
    out = _written(file, lambda frame: np.where(frame.number < 4, frame.pixels, 255 - frame.pixels), crf=5)
    with av.open(out) as container:
        coded = container.streams.video[0].codec_context
        assert (coded.name, coded.pix_fmt, int(coded.colorspace)) == ("h264", "yuv420p", matrix or 2)
    found = [frame.pixels.astype(float) for frame in Clip(out).frames()]
    for number, wanted in enumerate(frames):
        wanted = wanted if number < 4 else 255 - wanted
        assert np.abs(found[number] - wanted).mean() < 3.0
        # A grey level is what conversion without `EXACT` costs; x264 itself differs from run to run by 0.05.
        assert np.abs((found[number] - wanted).mean((0, 1))).max() < 0.75


def test_turned_clips_come_out_upright():
    clip = Clip(helpers.coded(helpers.spots(3), turned=-90))
    out = Clip(_written(helpers.coded(helpers.spots(3), turned=-90)))
    assert (out.size, out.rotation) == (clip.size, 0)


def test_metadata_are_kept():
    with av.open(_written(helpers.coded(helpers.spots(3), title="A day at sea"))) as container:
        assert container.metadata["title"] == "A day at sea"


def test_quicktimes_place_date_and_make_are_kept():
    said = {
        "com.apple.quicktime.make": "Nobody",
        "com.apple.quicktime.location.ISO6709": "+01.0+002.0/",
        "title": "Sea",
    }
    file = helpers.coded(helpers.spots(3), options={"movflags": "use_metadata_tags"}, **said)
    for format in ("mov", "mp4"):
        with av.open(_written(file, format=format)) as container:
            assert said.items() <= container.metadata.items()


@pytest.mark.parametrize("format", ["mp4", "matroska"])
def test_the_sounds_language_and_chapters_are_kept(format):
    file, spans = io.BytesIO(), [(0, 500, "Ebb"), (500, 1000, "Flood")]
    with av.open(file, "w", format=format) as container:
        video, sound = container.add_stream("libx264", rate=25), container.add_stream("aac", rate=44100)
        video.width, video.height, video.pix_fmt = 96, 64, "yuv420p"
        sound.metadata["language"] = "deu"
        container.set_chapters(
            [
                {"id": start, "start": start, "end": end, "time_base": Fraction(1, 1000), "metadata": {"title": title}}
                for start, end, title in spans
            ]
        )
        for pixels in helpers.spots(25, (96, 64)):
            container.mux(video.encode(av.VideoFrame.from_ndarray(pixels, format="rgb24")))
        container.mux(video.encode(None))
        for packet in helpers.tone(sound, 1.0):
            container.mux(packet)
    with av.open(_written(file, format=format)) as container:
        assert container.streams.audio[0].language == "deu"
        found = [(it["start"] * it["time_base"], it["metadata"]["title"]) for it in container.chapters()]
        assert found == [(0, "Ebb"), (Fraction(1, 2), "Flood")]


def test_sound_that_a_container_cannot_hold_is_refused_and_another_container_is_named():
    file = helpers.coded(helpers.spots(3), format="matroska", sound="wavpack")
    with pytest.raises(ImageError, match=r"it does not go into a mp4 file; name the output \.mkv"):
        _written(file)
    assert len(helpers.packets(_written(file, format="matroska"), "audio")) > 0


def test_a_full_disk_is_told_as_what_it_is_and_not_as_a_broken_clip():
    class Full(io.BytesIO):
        def write(self, data):
            if self.tell() + len(data) > 2000:
                raise OSError(errno.ENOSPC, "No space left on device")
            return super().write(data)

    for format in ("mp4", "matroska"):
        with pytest.raises(OSError, match="No space left on device"):
            writing.write(Clip(helpers.coded(helpers.spots(25))), lambda frame: frame.pixels, Full(), format)


def test_sound_that_fails_only_when_it_is_begun_is_refused_as_well():
    file = helpers.coded(helpers.spots(3), format="avi", codec="mpeg4", sound="pcm_s16le")
    with pytest.raises(ImageError, match=r"it does not go into a mp4 file; name the output \.mkv"):
        _written(file)
    assert len(helpers.packets(_written(file, format="matroska"), "audio")) > 0


def test_rgb_is_coded_with_a_matrix_that_420_has():
    frames = helpers.spots(3)
    file = io.BytesIO()
    with av.open(file, "w", format="matroska") as container:
        video = container.add_stream("libx264rgb", rate=25, options={"crf": "1"})
        video.height, video.width, video.pix_fmt = *frames[0].shape[:2], "rgb24"
        for pixels in frames:
            container.mux(video.encode(av.VideoFrame.from_ndarray(pixels, format="rgb24")))
        container.mux(video.encode(None))
    out = _written(file, crf=5)
    with av.open(out) as container:
        assert int(container.streams.video[0].codec_context.colorspace) == 1
    for frame, wanted in zip(Clip(out).frames(), frames):
        assert np.abs(frame.pixels.astype(float) - wanted).mean() < 3.0
