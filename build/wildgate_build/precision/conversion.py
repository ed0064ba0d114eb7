"""Converts a standard fp32 file to fewer bits and measures the cost."""

from __future__ import annotations

import fnmatch
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from difflib import get_close_matches
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import onnx
from onnx import ModelProto

from wildgate_build.check.matching import MatchRule
from wildgate_build.check.runners import in_windows
from wildgate_build.errors import PrecisionError
from wildgate_build.frames.calibration_split import CalibrationSplit
from wildgate_build.onnx_session import run
from wildgate_build.precision.bars import without_bars
from wildgate_build.precision.body import NetworkBody
from wildgate_build.precision.cost import Baseline, Cost
from wildgate_build.precision.exclusions import LEAST_IN_INT8, Attempt, SearchLimits, search_exclusions
from wildgate_build.precision.half import halved
from wildgate_build.precision.int8 import Dialect, Method, Quantiser
from wildgate_build.precision.pixels import with_plain_pixels
from wildgate_build.standard_file import StandardFile, write_properties

__all__ = ["Converted", "Coverage", "Int8Plan", "to_half", "to_int8"]

Feed = dict[str, npt.NDArray[Any]]

_SEARCH_FEEDS: Final = 2


@dataclass(frozen=True)
class Int8Plan:
    """How to quantise.

    The last operators stay fp32, so do the `excluded` ones, and more where the loss is past that of `limits`. With
    `letterbox`, the value of its bars, these are left out.
    """

    dialect: Dialect
    method: Method
    excluded: tuple[str, ...]
    limits: SearchLimits
    letterbox: int | None = None


@dataclass(frozen=True)
class Coverage:
    """How many of the quantisable operators of the network's body are in INT8."""

    in_int8: int
    operators: int

    @property
    def enough(self) -> bool:
        """Whether it deserves to be called INT8 (LEAST_IN_INT8)."""
        return self.in_int8 > 0 and self.in_int8 >= LEAST_IN_INT8 * self.operators


@dataclass(frozen=True)
class Converted:
    """A whole graph in another precision, the nodes left in fp32, its cost and, for INT8, its coverage."""

    model: ModelProto
    excluded: tuple[str, ...]
    cost: Cost
    coverage: Coverage | None = None


def to_int8(detector: StandardFile, split: CalibrationSplit, plan: Int8Plan, rule: MatchRule) -> Converted:
    """Quantises `detector`, calibrated on one part of `split` and held against fp32 on the other.

    Where the loss is past the plan's, operators are left in fp32 until it is not, half of them are, or time is up: the
    caller decides whether the result is good enough.

    Raises PrecisionError, ComparisonError and CannotRunError.
    """
    if plan.letterbox is not None and plan.dialect is not Dialect.CPU:
        raise PrecisionError("bars can be left out on CPUs alone: engines have static shapes")
    body = _body(detector)
    quantiser = Quantiser(body.extract(), plan.dialect, plan.method)
    named = _named(plan.excluded, quantiser.body)
    baseline = Baseline(detector, split.held_out, rule)
    feeds = _feeds(body, split.calibration, detector.frames)
    quantiser.calibrate(feeds)
    wanted = run(quantiser.body, *feeds[:_SEARCH_FEEDS])

    def whole(excluded: Sequence[str]) -> ModelProto:
        model = _whole(detector, body, quantiser.quantised(excluded), "int8")
        if plan.dialect is not Dialect.CPU:
            return model  # TensorRT wants a Cast first
        model = with_plain_pixels(model)
        return model if plan.letterbox is None else without_bars(model, plan.letterbox)

    excluded = tuple(dict.fromkeys((*quantiser.last, *named)))
    best = search_exclusions(
        Attempt(excluded, baseline.differences(whole(excluded)).loss),
        quantiser.operators,
        lambda names: baseline.differences(whole(names)).loss,
        lambda names: _error(wanted, run(quantiser.quantised(names), *feeds[:_SEARCH_FEEDS])),
        plan.limits,
    )
    in_int8 = quantiser.in_int8(quantiser.quantised(best.excluded), best.excluded)
    coverage = Coverage(in_int8, len(quantiser.operators))
    model = whole(best.excluded)
    return Converted(model, best.excluded, baseline.cost(model), coverage)


def to_half(
    detector: StandardFile, held_out: npt.NDArray[np.uint8], excluded: tuple[str, ...], rule: MatchRule
) -> Converted:
    """The detector with its body in fp16, held against fp32 on frames uint8 [n, S, S, 3].

    Raises PrecisionError, ComparisonError and CannotRunError.
    """
    body = _body(detector)
    part = body.extract()
    named = _named(excluded, part)
    model = _whole(detector, body, halved(part, named), "fp16")
    return Converted(model, named, Baseline(detector, held_out, rule).cost(model))


def _error(wanted: Sequence[Feed], got: Sequence[Feed]) -> float:
    """The relative squared error of outputs, summed over all of them."""
    return sum(
        float(np.square(one[name] - other[name]).sum() / max(float(np.square(one[name]).sum()), 1e-12))
        for one, other in zip(wanted, got, strict=True)
        for name in one
    )


def _body(detector: StandardFile) -> NetworkBody:
    if detector.properties.precision != "fp32":
        raise PrecisionError(f"{detector.path}: is {detector.properties.precision} already; start from the fp32 file")
    return NetworkBody.of(onnx.load(str(detector.path)))


def _named(patterns: Iterable[str], body: ModelProto) -> tuple[str, ...]:
    """The nodes of the body that the patterns name, as `fnmatch` has them; each must name one."""
    known = [node.name for node in body.graph.node]
    for pattern in patterns:
        if not fnmatch.filter(known, pattern):
            near = ", ".join(get_close_matches(pattern, known, cutoff=0.4)) or "nothing like it is there"
            raise PrecisionError(f"{pattern!r} is not a node of the network's body; near it: {near}")
    return tuple(name for name in known if any(fnmatch.fnmatchcase(name, pattern) for pattern in patterns))


def _feeds(body: NetworkBody, frames: npt.NDArray[np.uint8], per_window: int) -> list[Feed]:
    """The body's inputs for these frames, window by window."""
    starts = [max(0, min(at, len(frames) - per_window)) for at in range(0, len(frames), per_window)]
    windows = [in_windows(frames[at : at + per_window], per_window) for at in starts]
    return run(body.front(), *({"FRAMES": window} for window in windows))


def _whole(detector: StandardFile, body: NetworkBody, changed: ModelProto, precision: str) -> ModelProto:
    model = body.replaced(changed, f"{precision}_")
    write_properties(model, replace(detector.properties, precision=precision))
    onnx.checker.check_model(model, full_check=True)
    return model
