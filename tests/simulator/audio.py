"""Transcriptions: what a speech model heard, in each format of OpenAI's API."""

from __future__ import annotations

import io
import math
import wave
from typing import TYPE_CHECKING, Any, Final

from .exchange import Reply

if TYPE_CHECKING:
    from .exchange import Call, Upload

FORMATS: Final = ("json", "text", "srt", "verbose_json", "vtt")
SUFFIXES: Final = ("flac", "m4a", "mp3", "mp4", "mpeg", "mpga", "oga", "ogg", "wav", "webm")


def seconds(file: Upload) -> float:
    """The length of a WAV file; of any other about what its size comes to at 128 kbit/s."""
    try:
        with wave.open(io.BytesIO(file.data)) as audio:
            return float(audio.getnframes()) / float(audio.getframerate())
    except (wave.Error, EOFError):
        return len(file.data) / 16_000


def heard(provider: str, call: Call, file: Upload) -> str:
    """What the model says it heard: nothing here listens, so it names itself and the length."""
    return f"{provider} {call.model} heard {seconds(file):.1f} seconds of audio."


def transcription(text: str, length: float, response_format: str, fields: dict[str, Any]) -> Reply:
    """OpenAI's answer in one of `FORMATS`. `length` is in seconds."""
    usage = {"type": "duration", "seconds": math.ceil(length)}
    match response_format:
        case "text":
            return Reply(f"{text}\n", content_type="text/plain; charset=utf-8")
        case "srt":
            return Reply(
                f"1\n00:00:00,000 --> {clock(length, ',')}\n{text}\n\n\n",
                content_type="text/plain; charset=utf-8",
            )
        case "vtt":
            return Reply(
                f"WEBVTT\n\n00:00:00.000 --> {clock(length, '.')}\n{text}\n\n",
                content_type="text/plain; charset=utf-8",
            )
        case "verbose_json":
            body = {
                "task": "transcribe", "language": "english", "duration": length, "text": text,
                "segments": [segment(text, length)], "usage": usage,
            }  # fmt: skip
            if "word" in fields.get("timestamp_granularities", ()):
                body["words"] = words(text, length)
            return Reply(body)
        case _:
            return Reply({"text": text, "usage": usage})


def segment(text: str, length: float) -> dict[str, Any]:
    """The one segment of a `verbose_json` answer."""
    return {
        "id": 0, "seek": 0, "start": 0.0, "end": length, "text": f" {text}", "tokens": [50364, 50414],
        "temperature": 0.0, "avg_logprob": -0.25, "compression_ratio": 0.9, "no_speech_prob": 0.01,
    }  # fmt: skip


def words(text: str, length: float) -> list[dict[str, Any]]:
    """The words, spread evenly over the audio."""
    said = text.split()
    step = length / len(said)
    return [{"word": word, "start": round(i * step, 2), "end": round((i + 1) * step, 2)} for i, word in enumerate(said)]


def clock(length: float, point: str) -> str:
    """A time as subtitles write it, `00:00:01,500`."""
    whole, milliseconds = divmod(round(length * 1000), 1000)
    return f"{whole // 3600:02}:{whole // 60 % 60:02}:{whole % 60:02}{point}{milliseconds:03}"
