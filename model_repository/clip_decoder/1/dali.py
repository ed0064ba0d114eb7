"""The clip decoder of both GPU profiles as one DALI pipeline: a window's frames as displayed, letterboxed, RGB.

In profile `gpu` Triton's DALI backend runs it (it finds this file by its name and the pipeline by `@autoserialize`),
in profile `rtx` `rtx_model.py` does. NVDEC decodes, CUDA does the rest, and FRAMES stays on the GPU; with device "cpu"
the same operators run without a GPU. The sizes are rendered from the manifest into `frames.json`, one directory up,
because a DALI pipeline is serialized before it could see Triton's model config.

The pictures are those of `model.py`, with two differences: pixels are averaged with a Gaussian, which comes closest to
swscale's area filter; colours outside RGB are cut off before scaling. FRAME_INDEX counts frames by presentation time
there and here: DALI's decoder sorts the packets' times and matches decoded pictures to packets in decode order. What
that cannot do right, HDR too, `decoder_routing.py` keeps away. A row that does not decode fails the batch that it is
in, and DALI tells of no damage, so SOUND is 1 for all that it decodes, whose keyframes the gateway has examined. That
DISPLAY says what can be is for the caller to see to.

Has run on the CPU with VP9 (tests/models/test_dali_pipeline.py); has not run on a GPU yet.
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
from nvidia.dali import fn, math, pipeline_def, types
from nvidia.dali.plugin.triton import autoserialize

_SIZES = json.loads(Path(__file__).parents[1].joinpath("frames.json").read_text(encoding="utf-8"))
_SIDE = _SIZES["frame_side_px"]
_LETTERBOX_VALUE = _SIZES["letterbox_value"]

# DALI turns every YCbCr into RGB by BT.601. Where the clip's mark says BT.709, that is undone on the small picture.
# ITU-T H.273, table 4: the luma coefficients Kr and Kb of MatrixCoefficients 6 and 1.
_BT601 = (0.299, 0.114)
_BT709 = (0.2126, 0.0722)


def _rgb_of_ycbcr(kr: float, kb: float) -> np.ndarray:
    """The matrix from (Y, Cb, Cr) to (R, G, B), full range."""
    kg = 1 - kr - kb
    from_cb, from_cr = 2 * (1 - kb), 2 * (1 - kr)
    return np.array([[1, 0, from_cr], [1, -kb / kg * from_cb, -kr / kg * from_cr], [1, from_cb, 0]])


_BT601_TO_BT709 = _rgb_of_ycbcr(*_BT709) @ np.linalg.inv(_rgb_of_ycbcr(*_BT601))
_UNCHANGED = np.eye(3)


def _is_bt709(clip):
    """1 where the gateway marked the clip: "wg", 0, 1 as the minor version of its `ftyp` box, else 0."""
    # Byte 12 and on of an MP4 file; `container.py` writes them.
    return (clip[12] == ord("w")) & (clip[13] == ord("g")) & (clip[14] == 0) & (clip[15] == 1)


def _rounded(number):
    """As Python rounds: what lies between two numbers goes to the even one."""
    up = math.floor(number + 0.5)
    between = fn.cast(up - number == 0.5, dtype=types.FLOAT)
    return up - between * (up - 2.0 * math.floor(up / 2.0))


@autoserialize
@pipeline_def(
    batch_size=_SIZES["max_batch_size"],
    num_threads=4,
    device_id=0,
    prefetch_queue_depth=1,
    output_dtype=[types.UINT8, types.UINT8, types.INT32, types.FLOAT],
    output_ndim=[4, 1, 2, 1],
)
def frames_pipeline(device: str = "gpu"):
    """CLIP uint8 [bytes], FRAME_INDEX int32 [F], DISPLAY int32 [4], row by row -> the outputs in the config's order.

    These are FRAMES uint8 [F, side, side, 3], SOUND uint8 [F], PICTURE_SIZE int32 [F, 2] and COST float32 [3], zeros.
    `device` is "gpu" or "cpu". A clip may be followed by zeros.
    """
    clip = fn.external_source(name="CLIP", ndim=1, dtype=types.UINT8)
    frame_index = fn.external_source(name="FRAME_INDEX", ndim=1, dtype=types.INT32)
    display = fn.external_source(name="DISPLAY", ndim=1, dtype=types.INT32)
    rotation = display[0]
    sideways = fn.cast((rotation == 90) | (rotation == 270), dtype=types.FLOAT)

    frames = fn.decoders.video(
        clip,
        device="mixed" if device == "gpu" else "cpu",
        frames=frame_index,
        pad_mode="none",  # A frame that the clip does not hold is an error, not a black picture.
        affine=False,  # Instances would all pin their threads to the same cores.
    )
    # As `Display.size` and `Letterbox.of` in `model.py`, of the picture as it is stored.
    stored = fn.cast(frames.shape(), dtype=types.FLOAT)
    wide, high = (fn.cast(display[at], dtype=types.FLOAT) for at in (2, 3))
    width = _rounded(stored[2] * math.max(wide / high, 1.0))
    height = _rounded(stored[1] * math.max(high / wide, 1.0))
    longer = math.max(width, height)
    frames = fn.resize(
        frames,
        resize_x=math.max(_rounded(width * float(_SIDE) / longer), 1.0),
        resize_y=math.max(_rounded(height * float(_SIDE) / longer), 1.0),
        min_filter=types.INTERP_GAUSSIAN,
        mag_filter=types.INTERP_LINEAR,
    )
    correction = fn.cast(_is_bt709(clip), dtype=types.FLOAT)
    change = types.Constant((_BT601_TO_BT709 - _UNCHANGED).astype(np.float32))
    frames = fn.coord_transform(
        frames, M=types.Constant(_UNCHANGED.astype(np.float32)) + correction * change, dtype=types.UINT8
    )
    frames = fn.flip(frames, horizontal=display[1])
    # Counter-clockwise, as DISPLAY is; by quarter turns the nearest pixel is the pixel itself.
    frames = fn.rotate(frames, angle=fn.cast(rotation, dtype=types.FLOAT), keep_size=False, interp_type=types.INTERP_NN)
    # Centred, the smaller bar first: the negative offset is cut towards zero.
    frames = fn.crop(
        frames,
        crop=(_SIDE, _SIDE),
        crop_pos_x=0.5,
        crop_pos_y=0.5,
        rounding="truncate",
        out_of_bounds_policy="pad",
        fill_values=[_LETTERBOX_VALUE],
    )
    every_place = frame_index * 0
    sound = fn.cast(every_place + 1, dtype=types.UINT8)
    turned = (height - width) * sideways  # what a turn adds to the width and takes from the height
    size = fn.cast(fn.stack(width + turned, height - turned), dtype=types.INT32)
    # What NVDEC does costs no processor time, and how long it takes is not known here.
    cost = fn.cast(display[0:3] * 0, dtype=types.FLOAT)
    return frames, sound, fn.expand_dims(every_place, axes=1) + size, cost
