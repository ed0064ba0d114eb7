from __future__ import annotations

import copy
import dataclasses
import pickle

import grpc
import pytest

import wildgate_client
from wildgate_client import Action, LabelGroup, Overloaded
from wildgate_proto.v1 import scoring_pb2

MESSAGES = [
    "Verdict",
    "LabelVerdict",
    "TimeSpan",
    "Detection",
    "Box",
    "Coverage",
    "VideoInfo",
    "StageTiming",
    "EvidenceFrame",
    "BlockMatch",
    "MatchedFrame",
    "BlockCheck",
]


@pytest.mark.parametrize("name", MESSAGES)
def test_every_field_of_the_api_has_its_place(name: str):
    message = getattr(scoring_pb2, name).DESCRIPTOR
    own = {field.name for field in dataclasses.fields(getattr(wildgate_client, name))}
    assert own == {field.name for field in message.fields}


@pytest.mark.parametrize(
    ("own", "prefix", "theirs"),
    [
        (Action, "ACTION_", scoring_pb2.Action),
        (LabelGroup, "LABEL_GROUP_", scoring_pb2.LabelGroup),
    ],
)
def test_every_value_of_the_api_has_its_name(own, prefix, theirs):
    assert {prefix + value.name for value in own} == set(theirs.keys())


@pytest.mark.parametrize("carried", [copy.copy, lambda error: pickle.loads(pickle.dumps(error))])
def test_an_error_crosses_processes_whole(carried):
    error = Overloaded(
        "full",
        code=grpc.StatusCode.RESOURCE_EXHAUSTED,
        reason="OVERLOADED",
        metadata={"limit": "x"},
        retry_after_s=0.25,
        field="source",
    )
    other = carried(error)
    assert type(other) is Overloaded
    assert vars(other) == vars(error)
    assert str(other) == "OVERLOADED: full"
