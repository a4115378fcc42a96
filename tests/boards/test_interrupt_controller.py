"""The PYNQ-Z2's interrupt controller and the way to it, under an independent AXI4-Lite master, against PYNQ's model."""
