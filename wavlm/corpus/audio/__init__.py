"""Read audio files of any format: what they hold, and their samples in blocks. Bad files are refused with a reason.

- `wavlm.corpus.audio.stream`: `probe`, `open_audio`
- `wavlm.corpus.audio.reason`: `AudioError`, `Reason`, `Note`
- `wavlm.corpus.audio.formats`: `is_audio`, `AUDIO_SUFFIXES`

This file imports nothing, so that reading shards needs no decoder.
"""
