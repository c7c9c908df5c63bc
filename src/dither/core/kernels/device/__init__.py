"""The kernels of the CUDA backend, in Triton, and the tables that tell them what to work on."""
