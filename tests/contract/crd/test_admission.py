"""What the API server refuses, `modelroute serve` refuses too, at the same place. See tests/cluster/test_admission.py for the server."""

from __future__ import annotations

import pytest
from contract.crd.bad_specs import BAD, GOOD
from modelroute_operator.core.modelroute import Backend, ModelRouteSpec, Params
from modelroute_operator.edges import admission


@pytest.mark.parametrize("what", BAD)
def test_bad_spec_is_refused_with_its_sentence(what: str) -> None:
    bad = BAD[what]
    faults = admission.faults(bad.spec)
    assert {admission.dotted(fault.path) for fault in faults} == {bad.path}
    assert any(fault.sentence.startswith(f"{bad.path}: ") and bad.of_file in fault.sentence for fault in faults), faults


@pytest.mark.parametrize("what", GOOD)
def test_good_spec_is_taken(what: str) -> None:
    assert admission.faults(GOOD[what]) == []
    assert ModelRouteSpec.model_validate(GOOD[what])


def test_every_rule_is_broken_by_some_bad_spec() -> None:
    said = {fault.sentence.partition(": ")[2] for bad in BAD.values() for fault in admission.faults(bad.spec)}
    rules = {message for model in (ModelRouteSpec, Backend, Params) for _, message in model.rules}
    assert rules - said == set()
