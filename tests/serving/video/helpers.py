"""Clips for tests: written by FFmpeg, of drawn faces and soft spots of colour."""

import io

import av
import cv2
import numpy as np

from faketagger.components.example_gen import face_drawing
from faketagger.serving.video.clips import Clip

SIZE = (160, 96)


def coded(
    frames,
    format="mp4",
    codec="libx264",
    crf=10,
    times=None,
    sound=None,
    turned=0,
    matrix=None,
    options=None,
    **metadata,
):
    """A clip's file: frames uint8 [H, W, 3] at 25 a second, or at `times` of that; `sound` is an audio codec's name."""
    file = io.BytesIO()
    with av.open(file, "w", format=format, options=options or {}) as container:
        container.metadata.update(metadata)
        video = container.add_stream(codec, rate=25, options={"crf": str(crf)} if codec == "libx264" else {})
        video.height, video.width = frames[0].shape[:2]
        video.pix_fmt = "yuvj420p" if codec == "mjpeg" else "yuv420p"
        if matrix:
            video.codec_context.colorspace, video.codec_context.color_range = matrix, 1
        if turned:
            video.set_display_rotation(turned)
        audio = container.add_stream(sound, rate=44100) if sound else None
        for number, pixels in enumerate(frames):
            frame = av.VideoFrame.from_ndarray(pixels, format="rgb24")
            if matrix:
                frame = frame.reformat(format="yuv420p", dst_colorspace=matrix, dst_color_range=1)
            frame.pts = number if times is None else times[number]
            container.mux(video.encode(frame))
        container.mux(video.encode(None))
        if audio:
            for packet in tone(audio, len(frames) / 25):
                container.mux(packet)
    return file


def tone(stream, seconds):
    wave = np.float32(np.sin(np.arange(int(44100 * seconds)) / 20))[None]
    for start in range(0, wave.shape[1], 1024):
        frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(wave[:, start : start + 1024]), "fltp", "mono")
        frame.rate, frame.pts = 44100, start
        yield stream.encode(frame)
    yield stream.encode(None)


def packets(file, kind):
    """The time, in seconds, and the bytes of each packet of a file's first stream of a kind."""
    file.seek(0)
    with av.open(file) as container:
        stream = getattr(container.streams, kind)[0]
        return [(packet.pts * packet.time_base, bytes(packet)) for packet in container.demux(stream) if packet.size]


def spots(count, size=SIZE, seed=3):
    """Soft spots of colour that drift."""
    width, height = size
    coarse = np.random.default_rng(seed).uniform(60, 190, [6, 6, 3])
    large = cv2.resize(np.float32(coarse), (width + count, height), interpolation=cv2.INTER_CUBIC)
    return [np.uint8(large[:, number : number + width].clip(0, 255)) for number in range(count)]


def faces(places, size=(256, 192), side=120, traits=(1, 0)):
    """Frames with a drawn face at each of the places (x, y) of its middle; None leaves it out."""
    face = face_drawing.draw(face_drawing.sample_traits(*traits), side)
    frames = spots(len(places), size)
    for frame, place in zip(frames, places):
        if place is not None:
            left, top = round(place[0] - side / 2), round(place[1] - side / 2)
            frame[top : top + side, left : left + side] = face
    return frames


def clip(frames, **options):
    """The opened Clip."""
    return Clip(coded(frames, **options))
