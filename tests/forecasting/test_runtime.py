from __future__ import annotations

import numpy as np
import pytest

from app.errors import CorruptArtifact
from app.forecasting.runtime import OnnxNetwork, same_answers


def test_bytes_that_are_no_network_are_damaged():
    with pytest.raises(CorruptArtifact):
        OnnxNetwork(b"not a network")


def test_answers_are_the_same_up_to_single_precision():
    answers = np.array([[1.0, -0.15, 5.4]], np.float32)
    assert same_answers(answers * (1 + 5e-5), answers)
    assert not same_answers(answers + 1e-3, answers)
    assert not same_answers(answers[:, :2], answers)
