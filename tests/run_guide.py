"""`make run`: the whole guide on this machine, without Kubernetes and without keys.

Starts the provider simulator, serves `examples/` with `modelroute serve`, asks one question of each kind of each provider,
and stays until Ctrl-C (ONCE=1: ends at once, with 0 if every question was answered). A provider whose key is in the
environment (the guide's names) is the real one.
"""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import sys
import time
from collections.abc import Mapping
from pathlib import Path

import ask
import providers

ROOT = Path(__file__).resolve().parent.parent
WORK = ROOT / ".run"
PORT = int(os.environ.get("PORT", "4000"))
KEY = os.environ.get("LITELLM_MASTER_KEY") or "sk-guide"
READY = "serving on "
READY_SECONDS = 150


async def start(*command: str, env: Mapping[str, str] | None = None) -> asyncio.subprocess.Process:
    """A child whose lines we read; it dies with us, not by our Ctrl-C."""
    return await asyncio.create_subprocess_exec(*command, stdout=asyncio.subprocess.PIPE, env=env, cwd=ROOT, start_new_session=True)


async def stop(process: asyncio.subprocess.Process) -> None:
    """Asks it to end, and waits until it has."""
    if process.returncode is None:
        process.terminate()
    await process.wait()


async def simulator() -> tuple[asyncio.subprocess.Process, str]:
    """The simulator and its address."""
    process = await start(sys.executable, "tests/simulator", "--port", "0")
    assert process.stdout
    line = (await process.stdout.readline()).decode()
    address = next((word.rstrip(":") for word in line.split() if word.startswith("http://")), None)
    if not address:
        raise SystemExit(f"the simulator did not start: {line.strip() or 'it said nothing'}")
    return process, address


async def serve(variables: dict[str, dict[str, str]]) -> asyncio.subprocess.Process:
    """`modelroute serve examples/`, its lines shown, once it is ready."""
    own = {name for names in providers.NAMES.values() for name in names}
    environment = {name: value for name, value in os.environ.items() if name not in own}
    environment |= {name: value for values in variables.values() for name, value in values.items()}
    environment["LITELLM_MASTER_KEY"] = KEY
    command = (str(Path(sys.executable).with_name("modelroute")), "serve", "examples", "--port", str(PORT), "--log", str(WORK / "litellm.log"))
    process = await start(*command, env=environment)
    assert process.stdout
    deadline = time.monotonic() + READY_SECONDS
    while time.monotonic() < deadline:
        line = (await asyncio.wait_for(process.stdout.readline(), READY_SECONDS)).decode().rstrip()
        if not line and process.stdout.at_eof():
            break
        print(line, flush=True)
        if line.startswith(READY):
            return process
    await stop(process)
    tail = (WORK / "litellm.log").read_text().splitlines()[-15:]
    raise SystemExit("LiteLLM did not start; its last lines (.run/litellm.log):\n" + "\n".join(tail))


async def guide() -> int:
    """The whole of `make run`."""
    with socket.socket() as probe:
        if probe.connect_ex(("127.0.0.1", PORT)) == 0:
            raise SystemExit(f"port {PORT} is taken: end what listens there, or choose another: make run PORT=4001")
    WORK.mkdir(exist_ok=True)
    (WORK / "litellm.log").write_text("")
    simulated, address = await simulator()
    served = None
    try:
        variables, real = providers.chosen(providers.answering(os.environ), address)
        pretended = [provider for provider in variables if provider not in real]
        print(f"real providers: {', '.join(real) or 'none (set OPENAI_API_KEY, AZURE_API_KEY, MISTRAL_API_KEY or OLLAMA_API_BASE to use them)'}")
        print(f"simulated, at {address}: {', '.join(pretended) or 'none'}")
        print("starting LiteLLM, which takes 10 to 20 seconds ...\n", flush=True)
        served = await serve(variables)
        print("\nThe official openai client asks (only base_url and api_key are LiteLLM's):\n", flush=True)
        asked = await asyncio.to_thread(lambda: ask.report(ask.everything(f"http://localhost:{PORT}", KEY)))
        print(f"\n{ask.verdict(asked)}", flush=True)
        if not os.environ.get("ONCE"):
            await stay(served)
            return 1
        return int(any(each.problem for each in asked))
    finally:
        for process in (served, simulated):
            if process:
                await stop(process)


async def stay(served: asyncio.subprocess.Process) -> None:
    """Shows what `modelroute serve` says of edited files. Returns only if that ends by itself."""
    print(f"""
Your turn, until Ctrl-C:
  curl http://localhost:{PORT}/v1/chat/completions -H 'Authorization: Bearer {KEY}' -H 'Content-Type: application/json' \\
    -d '{{"model": "chat-default", "messages": [{{"role": "user", "content": "Hello"}}]}}'
  or edit a file under examples/: it takes effect when you save it.
""", flush=True)  # fmt: skip
    assert served.stdout
    async for line in served.stdout:
        print(line.decode().rstrip(), flush=True)


async def main() -> int:
    """Ctrl-C ends everything that was started."""
    task = asyncio.ensure_future(guide())
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, task.cancel)
    try:
        return await task
    except asyncio.CancelledError:
        print("\nstopped")
        return 0


if __name__ == "__main__":
    sys.exit(asyncio.run(main()))
