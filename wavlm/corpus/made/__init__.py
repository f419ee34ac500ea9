"""Speech that a synthesiser makes on this machine, with what is said in it."""
