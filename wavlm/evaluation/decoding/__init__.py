"""Decoding of CTC outputs into words: an n-gram language model, its words, and a beam search over them."""
