import pickle
from collections.abc import Iterator
from typing import TypeVar

import pytest

from app import errors
from app.errors import PERMANENT_ERRORS, FleetError, PermanentError, TransientError

CODES = {
    "password_required",
    "malformed",
    "page_unreadable",
    "too_large",
    "too_many_pages",
    "resource_limit",
    "unsupported_security",
    "not_a_document",
    "empty",
}
"""What other programs rely on: a code may be added, but never renamed."""


Kind = TypeVar("Kind", bound=FleetError)


def kinds(base: type[Kind]) -> Iterator[type[Kind]]:
    yield base
    for kind in base.__subclasses__():
        yield from kinds(kind)


ALL = sorted(set(kinds(FleetError)), key=lambda kind: kind.__qualname__)


@pytest.mark.parametrize("kind", ALL)
class TestEveryError:
    def test_says_its_docstring(self, kind: type[FleetError]) -> None:
        assert kind.__doc__
        assert kind().message == str(kind()) == kind.__doc__.strip()

    def test_is_one_sentence(self, kind: type[FleetError]) -> None:
        message = kind().message
        assert message.endswith(".")
        assert message[0].isupper()
        assert "\n" not in message

    def test_says_what_it_is_given(self, kind: type[FleetError]) -> None:
        assert kind("The disk is full.").message == "The disk is full."

    def test_survives_a_pickle(self, kind: type[FleetError]) -> None:
        """A prefork pool sends exceptions between its processes."""
        copy = pickle.loads(pickle.dumps(kind("The disk is full.")))
        assert type(copy) is kind
        assert copy.message == "The disk is full."

    def test_has_an_exit_code_that_is_no_success(self, kind: type[FleetError]) -> None:
        expected = 2 if issubclass(kind, errors.UsageError) else 3 if issubclass(kind, PermanentError) else 1
        assert kind.exit_code == expected


class TestCodes:
    def test_are_stable(self) -> None:
        assert PERMANENT_ERRORS.keys() >= CODES

    def test_name_their_type(self) -> None:
        assert all(kind.code == code for code, kind in PERMANENT_ERRORS.items())

    def test_are_all_there_and_each_once(self) -> None:
        """A subclass of a subclass, or a code used twice, would be missing from the table."""
        assert set(PERMANENT_ERRORS.values()) == set(kinds(PermanentError)) - {PermanentError}

    def test_are_words_that_fit_a_key(self) -> None:
        coded = [kind.code for kind in kinds(PermanentError)] + [kind.code for kind in kinds(TransientError)]
        assert all(code.isidentifier() and code == code.lower() for code in coded)
        assert len(coded) == len(set(coded))

    def test_permanent_and_transient_are_apart(self) -> None:
        assert not set(kinds(PermanentError)) & set(kinds(TransientError))
