"""One process that stands in for OpenAI, Azure OpenAI, Mistral and Ollama.

Each provider answers on its true paths, with its true headers, errors and stream formats, below a prefix:
`/openai/v1`, `/azure`, `/mistral/v1`, `/ollama`. Answers are deterministic and name the provider and the
upstream model. `/_sim/` tells it to fail, delay or limit, and reports what it received (see `control.py`).

Runs as `python tests/simulator`, as `PYTHONPATH=tests python -m simulator`, from a flat directory such as a
mounted ConfigMap, or inside a test: `async with simulator.running() as sim: sim.openai`, and `in_background()`
where nothing is async.
"""

from .server import Simulator, in_background, running

__all__ = ["Simulator", "in_background", "running"]
