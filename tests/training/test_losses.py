from __future__ import annotations

import numpy as np
import pytest
import scipy.stats

pytest.importorskip("tensorflow", reason="the worker extra is not installed")

from app.training.losses import student_t_nll

pytestmark = pytest.mark.tensorflow


def test_the_loss_is_scipys_student_t_likelihood():
    actual = np.linspace(-3, 3, 8).reshape(4, 2)
    location, log_scale, df = 0.1, np.log(0.8), 5.5
    said = np.broadcast_to([location, log_scale, df], (4, 2, 3))
    loss = np.asarray(student_t_nll(actual[..., None].astype(np.float32), said.astype(np.float32)))
    np.testing.assert_allclose(loss, -scipy.stats.t.logpdf(actual, df, loc=location, scale=0.8), rtol=1e-5)
