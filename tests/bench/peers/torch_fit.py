"""PyTorch: ``nn.LSTM`` and ``nn.GRU`` in the usual loop over shuffled batches. Runs in the bench's own environment."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from tests.bench.peers.job import Job, compete, seconds_of

LAYERS = {"lstm": nn.LSTM, "gru": nn.GRU}


class Network(nn.Module):
    """Recurrent layers of one size, and a number from the last state."""

    def __init__(self, job: Job) -> None:
        super().__init__()
        (size,) = set(job.units)
        self.recurrent = LAYERS[job.network](job.columns, size, num_layers=len(job.units), batch_first=True)
        self.head = nn.Linear(size, 1)

    def forward(self, windows: Tensor) -> Tensor:
        """Answer ``(batch, window, columns)`` with ``(batch, 1)``."""
        states, _ = self.recurrent(windows)
        return self.head(states[:, -1])


def main(job: Job) -> Callable[[], float]:
    """Return a round: an epoch of one model, or many models."""
    torch.set_num_threads(job.threads)
    torch.set_num_interop_threads(1)
    if job.models > 1:
        return lambda: seconds_of(lambda: [fit(Network(job), job, model) for model in range(job.models)])
    network = Network(job)
    fit(network, job)
    return lambda: seconds_of(lambda: fit(network, job))


def fit(network: Network, job: Job, which: int = 0) -> None:
    """Fit ``network`` on the windows of one ticker."""
    optimizer, loss = torch.optim.Adam(network.parameters()), nn.MSELoss()
    inputs, targets = (torch.from_numpy(values) for values in job.windows(which))
    for _ in range(job.epochs):
        for rows in torch.randperm(job.samples).split(job.batch_size):
            optimizer.zero_grad()
            loss(network(inputs[rows]), targets[rows]).backward()
            optimizer.step()


if __name__ == "__main__":
    compete(main)
