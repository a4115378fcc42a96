"""What the parts of Pumice agree on, declared once: configurations, registers, descriptors, formats, numerics.

Imports numpy at most; gateware, firmware header, host library, simulator and documentation are derived from it.
"""
