"""Secret material never prints, whatever holds it and whoever prints it."""

from __future__ import annotations

import copy
import io
import json
import logging
import traceback

import pytest
from modelroute_operator.core import objects, routes, sealed
from modelroute_operator.core.plan import Observed, Writes
from modelroute_operator.core.sealed import Sealed
from modelroute_operator.core.snapshot import Published
from modelroute_operator.edges import telemetry
from unit import make

SECRET = "sk-never-to-be-seen"
ONE = Sealed(SECRET)
HOLDERS = {
    "itself": ONE,
    "a mapping": {"k": ONE},
    "what is published": Published(credentials={"k": ONE}),
    "what is observed": Observed(credentials={"k": ONE}),
    "what is to be written": Writes(credentials={"k": ONE}, config_maps=(), deletions=()),
    "the objects": objects.of({}, {"k": ONE}, {}, name="r-routes", before=1, key=ONE),
    "the release": make.release(digest_key=ONE),
    "the snapshot": make.snapshot(secrets={("ai", "s"): {"k": ONE}}),
    "the resolution": routes.resolve(make.snapshot([make.route("r", make.backend(credentialsSecretRef={"name": "s"}))], secrets={("ai", "s"): {"api_key": ONE}})),
}
PRINTED = {
    "repr": repr,
    "str": str,
    "an f-string": lambda x: f"{x} {x!r} {x!s}",
    "percent": lambda x: "%s %r" % (x, x),  # noqa: UP031  what logging does
    "format": "{0} {0!r}".format,
    "a list's repr": lambda x: repr([x]),
    "an exception": lambda x: "".join(traceback.format_exception(ValueError(x))),
    "a copy's repr": lambda x: repr(copy.copy(x)),
}


@pytest.mark.parametrize("way", PRINTED)
@pytest.mark.parametrize("holder", HOLDERS)
def test_printing_shows_no_secret(holder: str, way: str) -> None:
    text = PRINTED[way](HOLDERS[holder])
    assert SECRET not in text


@pytest.mark.parametrize("form", ["json", "plain"])
def test_logging_shows_no_secret(form: str) -> None:
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    handler.setFormatter(telemetry.JsonLines() if form == "json" else logging.Formatter("%(message)s"))
    logger = logging.getLogger("modelroute.test_sealed")
    logger.addHandler(handler)
    logger.error("failed with %s and %r", ONE, {"k": ONE}, exc_info=ValueError(ONE))
    logger.removeHandler(handler)
    assert "•" in stream.getvalue() or "\\u2022" in stream.getvalue()
    assert SECRET not in stream.getvalue()


def test_json_refuses_it() -> None:
    with pytest.raises(TypeError) as error:
        json.dumps({"k": ONE})
    assert SECRET not in str(error.value)


def test_a_format_width_refuses_rather_than_shows() -> None:
    with pytest.raises(TypeError) as error:
        f"{ONE:>40}"
    assert SECRET not in str(error.value)


def test_only_reveal_shows_it() -> None:
    assert ONE.reveal() == SECRET
    assert not hasattr(ONE, "__dict__")


def test_equal_texts_are_equal_seals() -> None:
    assert Sealed("é") == Sealed("é")
    assert Sealed("a") != Sealed("b")
    assert Sealed("a") != "a"
    assert len({Sealed("a"), Sealed("a"), Sealed("b")}) == 2


def test_a_digest_depends_on_names_values_and_key_but_not_on_order() -> None:
    one = sealed.digest({"a": Sealed("1"), "b": Sealed("2")}, Sealed("key"))
    assert one == sealed.digest({"b": Sealed("2"), "a": Sealed("1")}, Sealed("key"))
    others = [sealed.digest({"a": Sealed("2"), "b": Sealed("1")}, Sealed("key")), sealed.digest({"a": Sealed("1")}, Sealed("key"))]
    others.append(sealed.digest({"a": Sealed("1"), "b": Sealed("2")}, Sealed("other key")))
    assert len({one, *others}) == 4
    assert len(one) == 16
