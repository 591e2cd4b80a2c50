"""Ids that are made by the hundred thousand."""

from __future__ import annotations

import pickle
from uuid import UUID

from service.ids import new_id


def test_a_new_id_is_a_uuid_like_any_other_and_sorts_by_time() -> None:
    made = [new_id() for _ in range(1_000)]
    assert made == sorted(made)
    assert len(set(made)) == len(made)
    one = made[0]
    same = UUID(str(one))
    assert (one == same, hash(one) == hash(same), isinstance(one, UUID)) == (True, True, True)
    assert same.version == 7
    assert pickle.loads(pickle.dumps(one)) == same
