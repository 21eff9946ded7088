"""The gallery's convolutional, recurrent and attention networks, trained with torch.

torch is no dependency of this repository; it is loaded by name, so that nothing else needs it to be there.
"""

from __future__ import annotations

import importlib
import io
import warnings
from typing import Any

import numpy as np
import onnx
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

from gallery_cards import Exhibit, Predict, Rows, accuracy
from gallery_sklearn import DIGITS
from train_models import BUNDLED, OPSETS, SEED

torch: Any = importlib.import_module("torch")
nn: Any = torch.nn

WINDOW = 24
#: The synthetic series: steps, periods of its two waves, and the size of the noise.
STEPS, PERIODS, NOISE = 4000, (25.0, 7.3), 0.08

#: Rows and targets to train on, then those held out.
Split = tuple[Rows, Rows, Rows, Rows]


class Forecaster(nn.Module):  # type: ignore[misc]
    """An LSTM that reads a window of a series, and a linear layer that reads its last state."""

    def __init__(self, *, hidden: int) -> None:
        super().__init__()
        self.lstm = nn.LSTM(1, hidden)
        self.head = nn.Linear(hidden, 1)
        # Given as a constant: left out, the exporter would compute it from the input's shape.
        self.register_buffer("start", torch.zeros(1, 1, hidden))

    def forward(self, series: Any) -> Any:
        """[batch, window, 1] → [batch, 1]."""
        start = self.start.expand(1, series.shape[0], self.start.shape[2]) if self.training else self.start
        states, _ = self.lstm(series.transpose(0, 1), (start, start))
        return self.head(states[-1])


class Block(nn.Module):  # type: ignore[misc]
    """Attention and a small dense network, each behind a normalisation and with a way around it."""

    def __init__(self, *, tokens: int, width: int, heads: int) -> None:
        super().__init__()
        self.tokens, self.width, self.heads = tokens, width, heads
        self.first, self.second = nn.LayerNorm(width), nn.LayerNorm(width)
        self.query, self.key, self.value = (nn.Linear(width, width) for _ in range(3))
        self.gather = nn.Linear(width, width)
        self.dense = nn.Sequential(nn.Linear(width, 2 * width), nn.GELU(), nn.Linear(2 * width, width))

    def forward(self, rows: Any) -> Any:
        """[batch, tokens, width] → the same."""
        seen = self.first(rows)
        query, key, value = (self.split(part(seen)) for part in (self.query, self.key, self.value))
        scale = (self.width // self.heads) ** -0.5
        weights = torch.softmax(query @ key.transpose(-1, -2) * scale, dim=-1)
        rows = rows + self.gather((weights @ value).transpose(1, 2).reshape(-1, self.tokens, self.width))
        return rows + self.dense(self.second(rows))

    def split(self, rows: Any) -> Any:
        """[batch, tokens, width] → [batch, heads, tokens, width / heads]."""
        return rows.reshape(-1, self.tokens, self.heads, self.width // self.heads).transpose(1, 2)


class Transformer(nn.Module):  # type: ignore[misc]
    """Reads an image row by row: two blocks, then the mean of all tokens."""

    def __init__(self, *, width: int, heads: int) -> None:
        super().__init__()
        self.embed = nn.Linear(8, width)
        self.position = nn.Parameter(0.1 * torch.randn(1, 8, width))
        self.blocks = nn.Sequential(*(Block(tokens=8, width=width, heads=heads) for _ in range(2)))
        self.last = nn.LayerNorm(width)
        self.head = nn.Linear(width, 10)

    def forward(self, rows: Any) -> Any:
        """[batch, 8, 8] → [batch, 10]."""
        return self.head(self.last(self.blocks(self.embed(rows) + self.position)).mean(dim=1))


def torch_exhibits() -> list[Exhibit]:
    """All of them, trained."""
    torch.use_deterministic_algorithms(mode=True)
    torch.set_num_threads(1)
    return [cnn(), lstm(), transformer()]


def train(network: Any, data: Split, loss: Any, *, epochs: int, rate: float) -> None:
    """Fits a network with Adam, in shuffled batches of 64, the rate falling to nothing."""
    rows, targets = torch.from_numpy(data[0]), torch.from_numpy(data[1])
    optimiser = torch.optim.Adam(network.parameters(), lr=rate)
    decay = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, T_max=epochs)
    shuffle = torch.Generator().manual_seed(SEED)
    network.train()
    for _ in range(epochs):
        for batch in torch.randperm(len(rows), generator=shuffle).split(64):
            optimiser.zero_grad()
            loss(network(rows[batch]), targets[batch]).backward()
            optimiser.step()
        decay.step()
    network.eval()


def exported(network: Any, row: Rows, *, taken: str, given: str) -> onnx.ModelProto:
    """The network as ONNX, for one row at a time; normalisations stay as they are."""
    target = io.BytesIO()
    with warnings.catch_warnings(), torch.no_grad():
        # The exporter by tracing is marked as the old one; it writes the plainer graphs.
        warnings.simplefilter("ignore")
        torch.onnx.export(
            network,
            (torch.from_numpy(row),),
            target,
            dynamo=False,
            opset_version=OPSETS[""],
            training=torch.onnx.TrainingMode.PRESERVE,
            input_names=[taken],
            output_names=[given],
        )
    return onnx.load_from_string(target.getvalue())


def predicting(network: Any, *, given: str) -> Predict:
    """The network as a function of arrays, row by row as the .onnx file takes them."""

    def predict(rows: Rows) -> dict[str, Rows]:
        with torch.no_grad():
            return {given: np.concatenate([network(torch.from_numpy(row[None])).numpy() for row in rows])}

    return predict


def digits(shape: tuple[int, ...]) -> Split:
    """Images in 0..1, float32 ``[rows, *shape]``, and their digits."""
    data = load_digits()
    rows = (data.data / 16).astype(np.float32).reshape(-1, *shape)
    train_rows, held_out, train_targets, targets = train_test_split(
        rows, data.target, test_size=0.25, random_state=SEED, stratify=data.target
    )
    return train_rows, train_targets, held_out, targets


def digit_exhibit(name: str, network: Any, data: Split, estimator: str, *, taken: str) -> Exhibit:
    """A trained network that reads digits."""
    _, _, rows, targets = data
    return Exhibit(
        name=name,
        model=exported(network, rows[:1], taken=taken, given="scores"),
        predict=predicting(network, given="scores"),
        framework="torch",
        rows=rows,
        targets=targets,
        metric="accuracy",
        score=accuracy(targets, output="scores"),
        notes={
            "data": DIGITS + ", scaled to 0..1",
            "licence": BUNDLED,
            "estimator": estimator,
            "meaning": "one score per digit; the greatest is the answer",
        },
    )


def cnn() -> Exhibit:
    """Three convolutions with batch normalisation."""
    torch.manual_seed(SEED)
    data = digits((1, 8, 8))
    network = nn.Sequential(
        *(nn.Conv2d(1, 16, 3, padding=1, bias=False), nn.BatchNorm2d(16), nn.ReLU()),
        *(nn.Conv2d(16, 32, 3, padding=1), nn.BatchNorm2d(32), nn.ReLU(), nn.MaxPool2d(2)),
        *(nn.Conv2d(32, 32, 3, padding=1), nn.BatchNorm2d(32), nn.ReLU(), nn.MaxPool2d(2)),
        *(nn.Flatten(), nn.Linear(128, 10)),
    )
    train(network, data, nn.CrossEntropyLoss(), epochs=15, rate=0.005)
    estimator = "three 3×3 convolutions (16, 32, 32) with BatchNormalization and Relu, two MaxPools, one Gemm"
    return digit_exhibit("cnn", network, data, estimator, taken="image")


def transformer() -> Exhibit:
    """Two layers of attention over the rows of an image."""
    torch.manual_seed(SEED)
    data = digits((8, 8))
    network = Transformer(width=48, heads=4)
    train(network, data, nn.CrossEntropyLoss(), epochs=40, rate=0.003)
    estimator = "two pre-norm transformer layers (width 48, 4 heads, Gelu), mean over 8 tokens, one Gemm"
    return digit_exhibit("transformer", network, data, estimator, taken="rows")


def synthetic_series() -> Rows:
    """Two waves, the slower one drifting in phase, with autoregressive noise; float32 [steps]."""
    generator = np.random.default_rng(SEED)
    drift = np.cumsum(generator.normal(0.0, 0.03, STEPS))
    steps = np.arange(STEPS)
    waves = np.sin(2 * np.pi * steps / PERIODS[0] + drift) + 0.4 * np.sin(2 * np.pi * steps / PERIODS[1])
    noise = np.zeros(STEPS)
    for step, shock in enumerate(generator.normal(0.0, NOISE, STEPS - 1), start=1):
        noise[step] = 0.6 * noise[step - 1] + shock
    series: Rows = (waves + noise).astype(np.float32)
    return series


def lstm() -> Exhibit:
    """A forecaster of the next value of a series."""
    torch.manual_seed(SEED)
    series = synthetic_series()
    rows = np.ascontiguousarray(np.lib.stride_tricks.sliding_window_view(series, WINDOW)[:-1])[:, :, None]
    targets = series[WINDOW:, None]
    split = int(len(rows) * 0.9)
    network = Forecaster(hidden=24)
    train(network, (rows[:split], targets[:split], rows[split:], targets[split:]), nn.MSELoss(), epochs=12, rate=0.01)
    held_out = targets[split:]
    return Exhibit(
        name="lstm",
        model=exported(network, rows[:1], taken="series", given="next"),
        predict=predicting(network, given="next"),
        framework="torch",
        rows=rows[split:],
        targets=held_out[:, 0],
        metric="mse",
        score=lambda given: float(np.mean((given["next"] - held_out) ** 2)),
        notes={
            "data": f"SYNTHETIC: {STEPS:,} steps of two sine waves with drifting phase and autoregressive noise",
            "licence": "made by scripts/train_gallery.py; no licence needed",
            "estimator": f"LSTM(24) over {WINDOW} values, one Gemm on its last state",
            "meaning": "the next value of the series",
            "warning": "Fitted to no real series.",
            "held_out_variance": round(float(np.var(held_out)), 4),
        },
    )
