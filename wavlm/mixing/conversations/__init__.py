"""Simulated conversations: who speaks when is drawn first, then the audio is made of it."""
