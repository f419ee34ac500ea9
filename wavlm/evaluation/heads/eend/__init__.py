"""End-to-end neural diarizers: a self-attentive encoder, and four ways to tell the speakers of a block apart."""
