"""Admins and strangers try every operation that the OpenAPI document names, and find nothing."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from fuzz.http import attack, errors_in
from fuzz.service import Service, service

pytestmark = pytest.mark.timeout(600)


@pytest.fixture(scope="module")
def found() -> Iterator[Service]:
    with service(works=False) as found:
        yield found


def test_an_admin_finds_no_server_error_and_no_undocumented_answer(found: Service) -> None:
    cases = attack(found, 2, token=found.token)

    assert cases > 1000
    assert errors_in(found.log) == []


def test_nobody_finds_anything_either(found: Service) -> None:
    cases = attack(found, 3, token=None, phases="examples,fuzzing")

    assert cases > 100
    assert errors_in(found.log) == []
