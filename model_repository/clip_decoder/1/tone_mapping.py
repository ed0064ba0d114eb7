"""HDR pictures as a viewer with an SDR screen sees them: PQ and HLG to BT.709.

Works on the small picture, from 16 bit per channel, by tables, so that it costs little. The steps:

1. from the signal to light in cd/m²: SMPTE ST 2084 by the EOTF of ITU-R BT.2100-2, table 4; ARIB STD-B67 (HLG) by the
   inverse OETF and the OOTF of its table 5, for a screen of 1000 cd/m² (system gamma 1.2);
2. what is brighter than SDR white, 203 cd/m² (ITU-R BT.2408-7, 2.2), is rolled off by the EETF of ITU-R BT.2390-11,
   5.4.1, from a peak of 1000 cd/m²; the brightest channel decides, all are scaled alike, so hues stay;
3. BT.2020's primaries become BT.709's (ITU-R BT.2087-0, annex 2), what is outside is cut off;
4. light becomes the signal of an SDR screen, gamma 2.4 (ITU-R BT.1886).

Neither a film's own mastering metadata nor Dolby Vision's is used.
"""

from __future__ import annotations

from functools import cache

import numpy as np

PQ, HLG = 16, 18
"""TransferCharacteristics of ITU-T H.273, table 3; FFmpeg's AVColorTransferCharacteristic has the same numbers."""
_BT2020, _UNSPECIFIED = 9, 2  # ColourPrimaries, table 2

_SDR_WHITE, _HDR_PEAK, _PQ_PEAK = 203.0, 1000.0, 10_000.0  # cd/m²
_M1, _M2 = 2610 / 16384, 2523 / 4096 * 128
_C1, _C2, _C3 = 3424 / 4096, 2413 / 4096 * 32, 2392 / 4096 * 32
_HLG_A, _HLG_B, _HLG_C = 0.17883277, 0.28466892, 0.55991073
_HLG_GAMMA = 1.2
_BT2020_LUMA = np.array([0.2627, 0.6780, 0.0593], np.float32)
_BT2020_TO_BT709 = np.array(
    [[1.6605, -0.5876, -0.0728], [-0.1246, 1.1329, -0.0083], [-0.0182, -0.1006, 1.1187]], np.float32
)
# Tables over light have it as its square root: as fine in the dark as it takes.
_STEPS = 4095


def to_sdr(signal: np.ndarray, transfer: int, primaries: int) -> np.ndarray:
    """RGB uint16 [h, w, 3] of full range, by PQ or HLG as `transfer` says, as uint8 [h, w, 3] of BT.709."""
    light = np.take(_light_of_signal(transfer), signal)
    if transfer == HLG:
        light *= _HDR_PEAK * np.power(light @ _BT2020_LUMA, np.float32(_HLG_GAMMA - 1))[..., None]
    light *= np.take(_roll_off(), _steps(light.max(axis=2) / _PQ_PEAK))[..., None]
    light /= _SDR_WHITE
    if primaries in (_BT2020, _UNSPECIFIED):
        light = light @ _BT2020_TO_BT709.T
    return np.take(_sdr_signal(), _steps(light))


def _steps(fraction: np.ndarray) -> np.ndarray:
    """The place in a table over the square root of light, which is clipped to 0 to 1."""
    return (np.sqrt(np.clip(fraction, 0, 1)) * _STEPS + 0.5).astype(np.uint16)


@cache
def _light_of_signal(transfer: int) -> np.ndarray:
    """Light by 16 bit signal: cd/m² for PQ, the scene's, 0 to 1, for HLG."""
    signal = np.arange(1 << 16) / 65535
    if transfer == PQ:
        return _pq_to_light(signal).astype(np.float32)
    light = np.where(signal <= 0.5, signal**2 / 3, (np.exp((signal - _HLG_C) / _HLG_A) + _HLG_B) / 12)
    return light.astype(np.float32)


def _pq_to_light(signal: np.ndarray) -> np.ndarray:
    power = signal ** (1 / _M2)
    return _PQ_PEAK * (np.maximum(power - _C1, 0) / (_C2 - _C3 * power)) ** (1 / _M1)


def _light_to_pq(light: np.ndarray) -> np.ndarray:
    power = (light / _PQ_PEAK) ** _M1
    return ((_C1 + _C2 * power) / (1 + _C3 * power)) ** _M2


@cache
def _roll_off() -> np.ndarray:
    """By what factor light is dimmed, over the square root of light (1 is PQ's peak)."""
    light = _PQ_PEAK * (np.arange(_STEPS + 1) / _STEPS) ** 2
    peak, white = _light_to_pq(np.array([_HDR_PEAK, _SDR_WHITE]))
    signal, most = np.minimum(_light_to_pq(light) / peak, 1), white / peak
    knee = 1.5 * most - 0.5
    t = (signal - knee) / (1 - knee)
    spline = (2 * t**3 - 3 * t**2 + 1) * knee + (t**3 - 2 * t**2 + t) * (1 - knee) + (3 * t**2 - 2 * t**3) * most
    mapped = _pq_to_light(np.where(signal < knee, signal, spline) * peak)
    return np.where(signal < knee, 1, mapped / np.maximum(light, 1e-9)).astype(np.float32)


@cache
def _sdr_signal() -> np.ndarray:
    """The 8 bit signal, over the square root of light (1 is SDR white)."""
    light = (np.arange(_STEPS + 1) / _STEPS) ** 2
    return np.round(255 * light ** (1 / 2.4)).astype(np.uint8)
