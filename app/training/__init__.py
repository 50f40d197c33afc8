"""Networks are built, fitted and exported here, and TensorFlow is imported nowhere else."""

from __future__ import annotations

import os

# Both are read once, while TensorFlow and Keras are imported: the modules below come too late.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ["KERAS_BACKEND"] = "tensorflow"
