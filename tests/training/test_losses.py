from __future__ import annotations

import numpy as np
import pytest
import scipy.stats

pytest.importorskip("tensorflow", reason="the worker extra is not installed")

from app.training.losses import student_t_nll

pytestmark = pytest.mark.tensorflow


def test_the_loss_is_scipys_student_t_likelihood():
    targets, reach = 2, 3
    actual = np.linspace(-3, 3, 4 * targets * reach).reshape(4, targets * reach)
    location, scale, df = np.linspace(-0.2, 0.2, 6), np.linspace(0.5, 1.5, 6), np.linspace(2.5, 30.0, 6)
    said = np.broadcast_to(np.stack([location, np.log(scale), df], axis=-1), (4, targets * reach, 3))
    loss = np.asarray(student_t_nll(actual[..., None].astype(np.float32), said.astype(np.float32)))
    np.testing.assert_allclose(loss, -scipy.stats.t.logpdf(actual, df, loc=location, scale=scale), rtol=1e-4)
