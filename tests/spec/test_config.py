"""Configurations: what an image depends on is in the fingerprint, and nothing else."""

from dataclasses import fields, replace

import pytest
from pumice.spec.config import KV260, EngineConfig

OTHER = {"name": "other", "clock_mhz": 99.0, "ultra_ram": False}


@pytest.mark.parametrize("field", [field.name for field in fields(EngineConfig)])
def test_fingerprint(field):
    changed = replace(KV260, **{field: OTHER[field] if field in OTHER else getattr(KV260, field) // 2})
    assert (changed.config_id == KV260.config_id) == (field in OTHER)
