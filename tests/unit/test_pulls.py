"""What is pulled, cancelled and deleted, and what a route's status says of it."""

from __future__ import annotations

from typing import Any

import pytest
from modelroute_operator.core import pulls
from modelroute_operator.core.conditions import Reason
from modelroute_operator.core.ollama import Failure, Held, Ollama, Pull, Replica, bytes_of, full_name, key_of, registry_of
from modelroute_operator.core.pulls import Use
from unit import make

GB = 10**9


def use(model: str = "llama3.2", **fields: Any) -> Use:
    """A route that wants a model."""
    return Use(**{"route": "ai/chat", "backend": "default", "generation": 1, "model": full_name(model), "policy": "IfNotPresent", "delete": False, **fields})


def replica(*models: str, name: str = "ollama-0", size: int = GB, **fields: Any) -> Replica:
    """A replica that answers and holds models."""
    return Replica(**{"name": name, "models": {key_of(m): Held(digest=m, size=size) for m in models}, **fields})


def decide(*uses: Use, replicas: tuple[Replica, ...] = (replica(),), now: float = 100.0, capacity: int | None = None) -> pulls.Actions:
    """What is to be done."""
    return pulls.decide(pulls.wants(uses), pulls.orphans(uses), Ollama(service="pods", replicas=replicas), now, capacity)


def state(*uses: Use, replicas: tuple[Replica, ...]) -> pulls.PullState:
    """What the status says."""
    return pulls.state_of(uses, Ollama(service="pods", replicas=replicas))


@pytest.mark.parametrize(
    ("given", "full", "registry"),
    [
        ("llama3.2", "llama3.2:latest", "registry.ollama.ai"),
        ("library/llama3.2:3b", "llama3.2:3b", "registry.ollama.ai"),
        ("registry.ollama.ai/library/phi4", "phi4:latest", "registry.ollama.ai"),
        ("someone/model:7b", "someone/model:7b", "registry.ollama.ai"),
        ("hf.co/org/Model-GGUF:Q4_K_M", "hf.co/org/Model-GGUF:Q4_K_M", "hf.co"),
        ("registry:5000/tiny/chat", "registry:5000/tiny/chat:latest", "registry:5000"),
    ],
)
def test_names_are_ollamas(given: str, full: str, registry: str) -> None:
    assert full_name(given) == full
    assert full_name(full) == full
    assert registry_of(given) == registry


@pytest.mark.parametrize(("quantity", "count"), [("50Gi", 50 * 2**30), ("1.5G", 1_500_000_000), ("1024", 1024), ("", None), ("much", None)])
def test_quantities(quantity: str, count: int | None) -> None:
    assert bytes_of(quantity) == count


def test_a_route_wants_its_ollama_models_from_the_charts_own_server_only() -> None:
    route = make.route(
        "mixed",
        make.backend("own", provider="ollama", model="mistral"),
        make.backend("named", provider="ollama", model="mistral", apiBase="http://gpu:11434"),
        make.backend("secret", provider="ollama", model="mistral", credentialsSecretRef={"name": "s"}),
        make.backend("cloud"),
    )
    assert [(u.backend, u.model, u.policy, u.delete) for u in pulls.uses(route, ("secret",))] == [("own", "mistral:latest", "IfNotPresent", False)]


def test_every_replica_pulls_what_it_lacks() -> None:
    replicas = (replica("llama3.2"), replica(name="ollama-1"))
    assert decide(use(), replicas=replicas).pull == (("ollama-1", "llama3.2:latest"),)


def test_what_is_there_is_not_pulled_again_whatever_it_is_called() -> None:
    assert decide(use("LLAMA3.2:latest"), replicas=(replica("llama3.2"),)) == pulls.Actions()


def test_routes_share_one_pull_with_the_most_eager_policy() -> None:
    uses = (use(policy="Never"), use(route="ai/other"), use(route="ai/third", policy="Always"))
    (want,) = pulls.wants(uses).values()
    assert (want.policy, want.version) == ("Always", "ai/third@1")
    assert decide(*uses).pull == (("ollama-0", "llama3.2:latest"),)


def test_always_pulls_once_per_generation() -> None:
    always = use(policy="Always")
    key = key_of("llama3.2")
    assert decide(always, replicas=(replica("llama3.2"),)).pull == (("ollama-0", key),)
    assert decide(always, replicas=(replica("llama3.2", refreshed={key: "ai/chat@1"}),)).pull == ()
    assert decide(use(policy="Always", generation=2), replicas=(replica("llama3.2", refreshed={key: "ai/chat@1"}),)).pull == (("ollama-0", key),)


def test_never_pulls_nothing_and_says_so() -> None:
    assert decide(use(policy="Never")) == pulls.Actions()
    assert state(use(policy="Never"), replicas=(replica(),)).reason is Reason.PULL_FAILED


def test_pulls_at_once_are_bounded_per_replica() -> None:
    uses = [use(f"m{number}") for number in range(5)]
    both = (replica(), replica(name="ollama-1", pulls={"m0:latest": Pull()}))
    assert decide(*uses, replicas=both).pull == (("ollama-0", "m0:latest"), ("ollama-0", "m1:latest"), ("ollama-1", "m1:latest"))


def test_a_failed_pull_waits_for_its_time_and_wakes_the_caller_then() -> None:
    failure = Failure(reason=Reason.PULL_FAILED, message="down", retry_at=105.0)
    actions = decide(use(), replicas=(replica(failures={"llama3.2:latest": failure}),))
    assert (actions.pull, actions.wake) == ((), 105.0)
    assert decide(use(), replicas=(replica(failures={"llama3.2:latest": failure}),), now=105.0).pull == (("ollama-0", "llama3.2:latest"),)


def test_backoff_doubles_up_to_its_limit() -> None:
    at, waits = replica(), []
    for _ in range(8):
        failure = pulls.failed(at, "llama3.2:latest", "down", 0.0)
        waits.append(failure.retry_at)
        at = replica(failures={"llama3.2:latest": failure})
    assert waits == [5, 10, 20, 40, 80, 160, 300, 300]


def test_a_pull_nobody_wants_any_more_is_cancelled() -> None:
    assert decide(replicas=(replica(pulls={"llama3.2:latest": Pull()}),)).cancel == (("ollama-0", "llama3.2:latest"),)


def test_a_replica_that_does_not_answer_is_left_alone() -> None:
    assert decide(use(), replicas=(replica(trouble="away"), Replica(name="ollama-1"))) == pulls.Actions()


def test_a_pull_that_does_not_fit_is_ended_with_the_numbers() -> None:
    at = replica("mistral", size=4 * GB, pulls={"llama3.2:latest": Pull(completed=0, total=7 * GB)})
    ((name, key, failure),) = decide(use(), replicas=(at,), capacity=10 * GB).refuse
    assert (name, key, failure.reason) == ("ollama-0", "llama3.2:latest", Reason.INSUFFICIENT_STORAGE)
    assert failure.message.startswith("needs 7.0 GB, 6.0 GB of 10.0 GB are free on ollama-0")
    assert decide(use(), replicas=(at,), capacity=11 * GB).refuse == ()
    assert decide(use(), replicas=(at,)).refuse == ()


def test_two_names_of_one_model_take_its_room_once() -> None:
    held = {name: Held(digest="same", size=4 * GB) for name in ("a:latest", "b:latest")}
    at = Replica(name="ollama-0", models=held, pulls={"llama3.2:latest": Pull(total=6 * GB)})
    assert decide(use(), replicas=(at,), capacity=10 * GB).refuse == ()


def test_a_full_disk_is_recognised_and_says_how_much_is_missing() -> None:
    at = replica(pulls={"llama3.2:latest": Pull(completed=GB, total=3 * GB)})
    failure = pulls.failed(at, "llama3.2:latest", "write /models/x-partial: no space left on device", 0.0)
    assert failure.reason is Reason.INSUFFICIENT_STORAGE
    assert "2.0 GB of 3.0 GB are missing" in failure.message


def test_the_model_goes_with_its_last_route_only_if_that_asked_for_it() -> None:
    here = replica("llama3.2")
    leaving = use(delete=True, leaving=True, active=False)
    assert decide(leaving, replicas=(here,)).delete == (("ollama-0", "llama3.2:latest"),)
    assert decide(leaving, use(route="ai/other"), replicas=(here,)).delete == ()
    assert decide(use(leaving=True, active=False), replicas=(here,)).delete == ()


def test_a_suspended_route_keeps_the_model_and_pulls_none() -> None:
    suspended = use(route="ai/other", active=False)
    assert decide(suspended) == pulls.Actions()
    assert decide(use(delete=True, leaving=True, active=False), suspended, replicas=(replica("llama3.2"),)).delete == ()


def test_a_route_leaves_when_no_replica_has_the_model() -> None:
    leaving = use(delete=True, leaving=True, active=False)

    def gone(*replicas: Replica) -> bool:
        return pulls.gone(Ollama(service="pods", replicas=replicas), leaving, (leaving,))

    assert not gone(replica("llama3.2"))
    assert not gone(replica(), replica(name="ollama-1", trouble="away"))
    assert gone(replica(), replica(name="ollama-1"))
    assert gone()


def test_only_routes_that_delete_carry_the_finalizer() -> None:
    plain, deleting = make.route("plain"), make.route("deleting")
    routes = {route.key: route for route in (plain, deleting)}
    uses = (use(route=plain.key), use(route=deleting.key, delete=True))
    assert pulls.finalizers(routes, uses, {}, Ollama()) == [(deleting, True)]
    gone = make.route("gone", meta={"deletionTimestamp": make.NOW, "finalizers": ["modelroute.dev/ollama-model"]})
    assert gone.held
    wish = use(route=gone.key, delete=True, leaving=True, active=False)
    assert pulls.finalizers({}, (wish,), {gone.key: gone}, Ollama(service="pods", replicas=(replica("llama3.2"),))) == []
    assert pulls.finalizers({}, (wish,), {gone.key: gone}, Ollama(service="pods", replicas=(replica(),))) == [(gone, False)]


def test_progress_is_said_in_bytes_and_per_cent() -> None:
    said = state(use(), replicas=(replica(pulls={"llama3.2:latest": Pull(completed=3_100_000_000, total=5_200_000_000)}),))
    assert (said.reason, said.summary) == (Reason.PULLING, "3.1/5.2 GB 59%")
    assert said.message == "pulling llama3.2:latest onto ollama-0: 3.1/5.2 GB 59%"


def test_the_worst_replica_speaks_for_the_route() -> None:
    failing = replica(name="ollama-1", failures={"llama3.2:latest": Failure(reason=Reason.PULL_FAILED, message="no such host", retry_at=0.0)})
    pulling = replica(name="ollama-2", pulls={"llama3.2:latest": Pull(completed=1, total=10)})
    said = state(use(), replicas=(replica("llama3.2"), failing, pulling))
    assert said.reason is Reason.PULL_FAILED
    assert "registry.ollama.ai" in said.message
    assert state(use(), replicas=()).reason is Reason.OLLAMA_UNREACHABLE
    assert state(use(), replicas=(replica("llama3.2"), replica(name="ollama-1", trouble="away"))).reason is Reason.OLLAMA_UNREACHABLE
    assert state(use(), replicas=(replica("llama3.2"), replica("llama3.2", name="ollama-1"))).reason is None


def test_an_attempt_that_came_no_further_is_still_a_failure() -> None:
    failure = Failure(reason=Reason.INSUFFICIENT_STORAGE, message="full", retry_at=0.0, completed=5)
    at = {"failures": {"llama3.2:latest": failure}}
    assert state(use(), replicas=(replica(pulls={"llama3.2:latest": Pull(completed=5, total=9)}, **at),)).reason is Reason.INSUFFICIENT_STORAGE
    assert state(use(), replicas=(replica(pulls={"llama3.2:latest": Pull(completed=6, total=9)}, **at),)).reason is Reason.PULLING


def test_requests_go_to_replicas_that_answer_and_hold_the_model() -> None:
    two = Ollama(service="pods", replicas=(replica("llama3.2"), replica("llama3.2", name="ollama-1", trouble="away"), replica(name="ollama-2")))
    assert two.holders("llama3.2") == ("http://ollama-0.pods:11434",)
    alone = Ollama(service="pods", replicas=(replica("llama3.2", trouble="restarting"),))
    assert alone.holders("llama3.2") == ("http://ollama-0.pods:11434",), "a restart rewrites no configuration"
