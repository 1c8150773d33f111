"""Asks one model through LiteLLM from several threads until standard input ends; then prints how it went, as JSON.

    python load.py BASE_URL MODEL EXPECTED WORKERS

Runs in a pod (`application.Client`). Every third request streams; an answer that is not EXPECTED is a failure.
"""

from __future__ import annotations

import json
import os
import sys
import threading

from openai import OpenAI

PER_CLIENT = 20
"""Requests over one connection: then a new one, so that the Service chooses anew."""
PAUSE_SECONDS = 0.03


def ask(client: OpenAI, model: str, *, stream: bool) -> str:
    """What the model says to Hello."""
    messages = [{"role": "user", "content": "Hello"}]
    if stream:
        chunks = client.chat.completions.create(model=model, messages=messages, stream=True)
        return "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)
    return client.chat.completions.create(model=model, messages=messages).choices[0].message.content


def work(over: threading.Event, outcomes: list[str], base_url: str, model: str, expected: str) -> None:
    """One application: no retries, so that nothing is hidden."""
    while not over.is_set():
        with OpenAI(base_url=base_url, api_key=os.environ["LITELLM_MASTER_KEY"], max_retries=0, timeout=60) as client:
            for number in range(PER_CLIENT):
                try:
                    said = ask(client, model, stream=number % 3 == 0)
                    outcomes.append("" if said == expected else f"said {said!r}")
                except Exception as error:
                    outcomes.append(f"{type(error).__name__}: {error} (cause: {error.__cause__!r})")
                if over.wait(PAUSE_SECONDS):
                    return


def main() -> None:
    """Works until standard input ends."""
    base_url, model, expected, workers = sys.argv[1:]
    over = threading.Event()
    outcomes: list[str] = []
    threads = [threading.Thread(target=work, args=(over, outcomes, base_url, model, expected)) for _ in range(int(workers))]
    for thread in threads:
        thread.start()
    sys.stdin.read()
    over.set()
    for thread in threads:
        thread.join()
    print(json.dumps({"asked": len(outcomes), "failures": [outcome for outcome in outcomes if outcome]}))


if __name__ == "__main__":
    main()
