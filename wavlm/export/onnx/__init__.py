"""ONNX: a network for runtimes without torch, in fp32 and int8, with a card that says what it costs in accuracy."""
