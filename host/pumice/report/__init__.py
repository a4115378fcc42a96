"""What a run tells: figures of each layer and of the network, as JSON and (`pumice.report.tables`) for a terminal."""

from .layers import STALLS, LayerReport, host_report, layer_reports, share
from .result import Result, run_report

__all__ = ["STALLS", "LayerReport", "Result", "host_report", "layer_reports", "run_report", "share"]
