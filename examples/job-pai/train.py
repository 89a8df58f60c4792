"""Fits a line to points. Each worker takes its share of them; the first one keeps the model."""

import json
import os
import pathlib
import random

rank, workers = int(os.environ.get("RANK", "0")), int(os.environ.get("WORLD_SIZE", "1"))
points = [(x / 100, 3 * x / 100 + 1) for x in range(100)][rank::workers]
random.Random(7).shuffle(points)
slope, offset = 0.0, 0.0
for epoch in range(int(os.environ.get("EPOCHS", "3"))):
    loss = 0.0
    for x, y in points:
        error = slope * x + offset - y
        slope, offset, loss = slope - 0.5 * error * x, offset - 0.5 * error, loss + error * error
    print(f"epoch {epoch}: loss {loss / len(points):.4f}")

if rank == 0:
    pathlib.Path("model").mkdir(exist_ok=True)
    pathlib.Path("model/weights.json").write_text(json.dumps({"slope": slope, "offset": offset}))
