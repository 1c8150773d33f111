"""`python tests/simulator --port 8080`: serves until SIGINT or SIGTERM, prints one line when it listens."""

from __future__ import annotations

import argparse
import asyncio
import importlib.util
import signal
import sys
from pathlib import Path


def load_as_package() -> None:
    """Makes this directory importable as `simulator`, whatever it is called.

    A mounted ConfigMap is a flat directory with a name of its own, and with `python DIR` Python puts DIR
    itself on the path, where `openai.py` would shadow the client library of that name.
    """
    here = Path(__file__).resolve().parent
    sys.path[:] = [entry for entry in sys.path if not entry or Path(entry).resolve() != here]
    spec = importlib.util.spec_from_file_location("simulator", here / "__init__.py", submodule_search_locations=[str(here)])
    if spec is None or spec.loader is None:
        sys.exit(f"{here} holds no simulator package.")
    package = importlib.util.module_from_spec(spec)
    sys.modules["simulator"] = package
    spec.loader.exec_module(package)


async def serve(host: str, port: int, *, record: bool) -> None:
    """Serves until the process is told to stop. `port` 0 takes a free one."""
    from simulator import running

    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for name in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(name, stop.set)
    async with running(host=host, port=port) as simulator:
        simulator.state.recording = record
        print(
            f"simulator listens on {simulator.url}: openai {simulator.openai}, azure {simulator.azure}, "
            f"mistral {simulator.mistral}, ollama {simulator.ollama}, control {simulator.control}",
            flush=True,
        )
        await stop.wait()


def main() -> None:
    """Reads the command line and serves."""
    parser = argparse.ArgumentParser(prog="simulator", description="Simulates OpenAI, Azure OpenAI, Mistral and Ollama.")
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on (0.0.0.0 in a container)")
    parser.add_argument("--port", type=int, default=8080, help="port to listen on, 0 for a free one")
    parser.add_argument("--no-record", action="store_true", help="do not record requests (for measurements)")
    arguments = parser.parse_args()
    if not __package__:
        load_as_package()
    asyncio.run(serve(arguments.host, arguments.port, record=not arguments.no_record))


main()
