"""The command `modelroute`."""

from __future__ import annotations

import argparse
import asyncio
import os
import signal
import socket
import sys
from pathlib import Path

from modelroute_operator.edges import settings

MISSING_STANDALONE = "LiteLLM itself is needed: pip install 'modelroute-operator[standalone]'"


def main() -> int:
    """Parses the command line and runs one of the commands."""
    parser = argparse.ArgumentParser(prog="modelroute", description="LLM routes as Kubernetes objects, served by stock LiteLLM.")
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("operator", help="run the operator; its settings are MODELROUTE_… variables, which the chart sets")
    serve = commands.add_parser("serve", help="serve a directory of ModelRoutes on this machine, without Kubernetes")
    serve.add_argument("folder", type=Path, help="directory (or file) of manifests; a change takes effect at once")
    serve.add_argument("--host", default="127.0.0.1", help="address to listen on (default: this machine only; 0.0.0.0: every machine that reaches it)")
    serve.add_argument("--port", type=int, default=4000)
    serve.add_argument("--env-file", type=Path, help="NAME=value lines; with the environment they stand for Secrets that are not among the manifests")
    serve.add_argument("--log", type=Path, help="file for LiteLLM's own output (default: this terminal)")
    arguments = parser.parse_args()
    return _operator() if arguments.command == "operator" else _serve(arguments)


def _operator() -> int:
    from modelroute_operator.edges import run  # noqa: PLC0415  kopf is of no use to `serve`

    try:
        config = settings.from_environment(os.environ)
    except ValueError as error:
        print(f"modelroute operator: its settings are incomplete (the chart sets them): {error}", file=sys.stderr)
        return 2
    asyncio.run(run.operate(config))
    return 0


def _serve(arguments: argparse.Namespace) -> int:
    try:
        from modelroute_operator.edges import standalone  # noqa: PLC0415  an optional dependency

        environment = {**_env_file(arguments.env_file), **os.environ}
    except ImportError:
        return _refused(MISSING_STANDALONE)
    except (OSError, UnicodeDecodeError) as error:
        return _refused(f"{arguments.env_file} cannot be read: {error}")
    master_key = environment.get("LITELLM_MASTER_KEY", "")
    problems = (
        "" if standalone.LITELLM.exists() else MISSING_STANDALONE,
        "" if arguments.folder.exists() else f"{arguments.folder} does not exist: give a directory of ModelRoute manifests",
        "" if master_key else "set LITELLM_MASTER_KEY (any text that starts with sk-): clients send it as their api_key",
        _port_problem(arguments.host, arguments.port),
    )
    if any(problems):
        return _refused(next(filter(None, problems)))
    options = standalone.Options(
        folder=arguments.folder, host=arguments.host, port=arguments.port, master_key=master_key, environment=environment, log=arguments.log,
    )  # fmt: skip

    def say(line: str) -> None:
        print(line, flush=True)

    async def serve() -> int:
        task = asyncio.ensure_future(standalone.Standalone(options, say).serve(lambda: say(f"serving on http://{options.address.replace('127.0.0.1', 'localhost')}")))
        for number in (signal.SIGINT, signal.SIGTERM):
            asyncio.get_running_loop().add_signal_handler(number, task.cancel)
        try:
            return await task
        except asyncio.CancelledError:
            return 0

    return asyncio.run(serve())


def _refused(sentence: str) -> int:
    print(f"modelroute serve: {sentence}", file=sys.stderr)
    return 2


def _port_problem(host: str, port: int) -> str:
    """Why LiteLLM could not listen there; empty when it can. Asked first, because LiteLLM would take another port and not say so."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
            probe.listen()
        except (OSError, OverflowError) as error:
            return f"{host}:{port} cannot be used ({getattr(error, 'strerror', None) or error}): end what listens there, or choose another with --port"
    return ""


def _env_file(path: Path | None) -> dict[str, str]:
    if path is None:
        return {}
    lines = (line.strip() for line in path.read_text().splitlines())
    pairs = (line.partition("=") for line in lines if line and not line.startswith("#"))
    return {name.strip(): value.strip().strip("\"'") for name, _, value in pairs}


if __name__ == "__main__":
    sys.exit(main())
