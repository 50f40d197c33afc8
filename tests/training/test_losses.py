from __future__ import annotations

import numpy as np
import pytest
import scipy.stats
import scoringrules

pytest.importorskip("tensorflow", reason="the worker extra is not installed")

from app.domain.distribution import PROBABILITIES
from app.training.losses import pinball, student_t_nll

pytestmark = pytest.mark.tensorflow


def test_the_loss_is_scipys_student_t_likelihood():
    targets, reach = 2, 3
    actual = np.linspace(-3, 3, 4 * targets * reach).reshape(4, targets * reach)
    location, scale, df = np.linspace(-0.2, 0.2, 6), np.linspace(0.5, 1.5, 6), np.linspace(2.5, 30.0, 6)
    said = np.broadcast_to(np.stack([location, np.log(scale), df], axis=-1), (4, targets * reach, 3))
    loss = np.asarray(student_t_nll(actual[..., None].astype(np.float32), said.astype(np.float32)))
    np.testing.assert_allclose(loss, -scipy.stats.t.logpdf(actual, df, loc=location, scale=scale), rtol=1e-4)


def test_the_pinball_loss_is_scoringrules_mean_quantile_score():
    random = np.random.default_rng(1)
    actual, said = random.standard_normal((5, 6)), np.sort(random.standard_normal((5, 6, 11)), axis=-1)
    loss = np.asarray(pinball(actual[..., None].astype(np.float32), said.astype(np.float32)))
    expected = scoringrules.quantile_score(actual[..., None], said, np.array(PROBABILITIES)).mean(axis=-1)
    np.testing.assert_allclose(loss, expected, rtol=1e-5)
