from __future__ import annotations

import pytest

from wildgate_enforcement.errors import WrongState
from wildgate_enforcement.states import DECIDED, TRANSITIONS, State, Step, after
from wildgate_proto.v1 import cases_pb2 as pb


def test_the_states_are_those_of_the_api() -> None:
    named = {f"CASE_STATE_{state.name}" for state in State}
    assert named == set(pb.CaseState.DESCRIPTOR.values_by_name) - {"CASE_STATE_UNSPECIFIED"}


def test_every_state_is_reached_and_left_and_every_step_is_of_use() -> None:
    reached = {target for steps in TRANSITIONS.values() for target in steps.values()}
    assert reached == set(State) == set(TRANSITIONS)
    assert {step for steps in TRANSITIONS.values() for step in steps} == set(Step)


def test_what_is_decided_moves_only_by_an_appeal() -> None:
    assert {step for state in DECIDED for step in TRANSITIONS[state]} == {Step.APPEAL}


@pytest.mark.parametrize("state", State)
@pytest.mark.parametrize("step", Step)
def test_a_step_that_is_not_in_the_table_is_refused(state: State, step: Step) -> None:
    if step in TRANSITIONS[state]:
        assert after(state, step) is TRANSITIONS[state][step]
    else:
        with pytest.raises(WrongState, match=f"a case that is {state} cannot take the step {step}"):
            after(state, step)
