"""Walks down the slope of (x - 3)**2, and says how far it came."""

import os

rate, steps = float(os.environ["RATE"]), int(os.environ["STEPS"])
x = 0.0
for _ in range(steps):
    x -= rate * 2 * (x - 3)
print(f"rate {rate}, {steps} steps: x = {x:.6f}")
with open("result.txt", "w") as result:
    result.write(f"{x:.6f}\n")
